"""A program that runs until it is told to end."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Optional, Sequence

PATIENCE = 5  # seconds, from SIGTERM to SIGKILL


class Daemon:
    """One program, with its output in a file. `under` is a command to run it under, which must
    turn into it, as nsenter does."""

    def __init__(
        self, name: str, folder: Path, command: Sequence[object], under: Sequence[object] = ()
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = folder / f"{name}.log"
        self.under = list(under)
        self._process: Optional[subprocess.Popen] = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert not self.running, self.name
        with self.log.open("ab") as log:
            # A session of its own: ^C is for pytest, which then ends this in order.
            self._process = subprocess.Popen(
                [*self.under, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """It keeps its sockets open, and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Also if it was not paused, or does not run."""
        if self.running:
            self._process.send_signal(signal.SIGCONT)

    def tail(self, lines: int = 20) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return os.linesep.join(text.splitlines()[-lines:])

    def _end(self, number: signal.Signals) -> None:
        if not self.running:
            return
        self._process.send_signal(number)
        self.resume()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
