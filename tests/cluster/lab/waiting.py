"""Waits for what must come: nothing here sleeps for as long as it hopes is enough."""

import time
from typing import Callable, TypeVar

from lab.kubectl import KubectlError

T = TypeVar("T")


def until(what: str, condition: Callable[[], T], seconds: float = 60) -> T:
    """Asks until the answer is true, and returns it. An API that does not answer yet is no more
    than a reason to ask again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            last: object = condition()
            if last:
                return last
        except KubectlError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"never came: {what}; the last answer was {last!r}")
        time.sleep(0.1)
