"""Where the programs under test and their peers are."""

import functools
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

# A folder for a store, in memory: where no disk is asked to sync, hundreds of calls take a moment.
# Emptied after each test.
LEASES = Path("/var/lib/podlease/leases")


def podlease() -> Path:
    """The binary under test: $PODLEASE, else the release build."""
    return Path(os.environ.get("PODLEASE") or ROOT / "build/release/podlease").resolve()


@functools.cache
def peers(group: str) -> Path:
    """The folder with the binaries of a group of tests/peers, built if need be."""
    command = [ROOT / "scripts/peers", group]
    return Path(subprocess.check_output(command, text=True).strip())
