"""An administrator who looks into a store with SQLite's own means, and stays."""

import subprocess
import sys
from pathlib import Path

# Another process, as POSIX locks guard nothing within one.
PROGRAM = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    print(database.execute(line).fetchall(), flush=True)
database.close()
"""


class Shell:
    """A connection to a store; `prefix` is a command to run the shell under."""

    def __init__(self, folder: Path, *prefix: object) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", PROGRAM, folder / "podlease.db"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the store; as the last one SQLite folds the log into the file and removes it."""
        self.process.communicate(timeout=60)

    def ask(self, sql: str) -> str:
        self.process.stdin.write(sql + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)
