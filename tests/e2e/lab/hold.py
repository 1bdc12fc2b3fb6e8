"""Holds the lock of a store, so that a test can change the world under a call that waits for it."""

import fcntl
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock; the folder is made if need be."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_waiting(pid: int) -> bool:
    """Whether a process stands in the queue of some flock."""
    return pid in waiting()


def waiting() -> list[int]:
    """The processes that stand in the queue of some flock."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [int(words[5]) for words in lines if words[1] == "->"]


def wait_until_waiting(pid: int, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_waiting(pid):
        assert time.monotonic() < deadline, f"process {pid} never waited for the lock"
        time.sleep(0.01)
