"""A machine whose boots and boot clock a test decides, by the kernel's own means: another file
mounted over the boot id, and a time namespace for each call."""

import subprocess
import time
import uuid
from pathlib import Path

from lab import netns

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Machine:
    """The machine that the sandbox runs on, from its next boot on."""

    def __init__(self, folder: Path) -> None:
        self._boot_id = folder / "boot_id"
        self._ahead = 0  # of the kernel's clock, in seconds
        self._write_boot_id()
        subprocess.run(["mount", "--bind", self._boot_id, BOOT_ID], check=True)

    def close(self) -> None:
        subprocess.run(["umount", BOOT_ID], check=True)

    @property
    def under(self) -> list[str]:
        """In front of a command: it sees the clock of this machine. (CLOCK_BOOTTIME, and no other:
        the clock on the wall is in no namespace.)"""
        if self._ahead == 0:
            return []
        # It forks since older kernels let only children into a new time namespace.
        return ["unshare", "--time", "--fork", "--kill-child", "--boottime", str(self._ahead)]

    def later(self, seconds: int) -> None:
        """Time passes, for whatever runs under the clock."""
        self._ahead += seconds

    def reboot(self) -> None:
        """All namespaces with a name end, and a new boot begins."""
        netns.remove(*netns.names())
        self._ahead = 20 - int(time.clock_gettime(time.CLOCK_BOOTTIME))
        self._write_boot_id()

    def _write_boot_id(self) -> None:
        # In place: a mount shows the file that it was made of.
        self._boot_id.write_text(f"{uuid.uuid4()}\n")
