"""Runs podlease under strace: to see what it asks the kernel for, and to have the kernel refuse."""

import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Optional

from lab import cni, places

# All that changes files and folders, or makes a change durable. What is not understood below must
# fail rather than be missed, so calls are listed that podlease does not use today.
CHANGES = (
    "open,openat,creat,write,writev,pwrite64,pwritev,truncate,ftruncate,fallocate,fsync,fdatasync,"
    "sync_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir"
)
# -y names the file of a descriptor, -xx escapes every byte: no text can look like syntax.
EXACT = ("-y", "-xx", "-s", "70000", "-e", f"trace={CHANGES}", "-e", "signal=none")

# The number of the process in front is only there with -f.
_LINE = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+|\?)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_NAMED_FD = re.compile(r"(?:\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")


@dataclass
class Call:
    """A system call that succeeded. `path` is the file it was about, `data` what was written."""

    name: str
    path: str
    data: bytes
    arguments: list[str]
    gone: bool  # the file had no name any more

    @property
    def is_sync(self) -> bool:
        return self.name in ("fsync", "fdatasync")


def run(
    verb: str, config: cni.Config, log: Path, *options: str, stdout: Any = None, **named: Any
) -> cni.Answer:
    """One call of the plugin under strace, whose options tell what to trace or to inject."""
    done = subprocess.run(
        ["strace", "-f", "-o", log, *options, "--", places.podlease()],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **cni.environment(verb, **named)},
        input=cni.stdin_of(config),
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    return cni.Answer(done.returncode, done.stdout or b"", done.stderr.decode(errors="replace"))


def places_to_inject(log: Path) -> list[tuple[str, int]]:
    """The system calls of a log in order, each with how often that one has been made by then:
    strace counts them apart."""
    made: Counter[str] = Counter()
    found = []
    for line in log.read_text().splitlines():
        if call := re.match(r"(?:\d+ +)?(\w+)\(", line):
            made[call[1]] += 1
            found.append((call[1], made[call[1]]))
    return found


def kill_at(place: tuple[str, int]) -> tuple[str, str]:
    """The options for strace to kill the program as it enters that system call."""
    return "-e", f"inject={place[0]}:signal=KILL:when={place[1]}"


def parse(text: str) -> Iterator[Call]:
    """The successful calls of a log that was written with the options EXACT."""
    for line in text.splitlines():
        if call := _parse_line(line):
            yield call


def calls(log: Path) -> list[Call]:
    return list(parse(log.read_text()))


def _parse_line(line: str) -> Optional[Call]:
    found = _LINE.match(line)
    if not found:
        assert "+++" in line or "---" in line or "<unfinished" in line, f"not understood: {line}"
        return None
    name, inside, result = found.groups()
    if result == "?" or int(result) < 0:
        return None
    arguments = inside.split(", ")
    strings = [_unescape(text) for text, cut in _STRING.findall(inside) if not _fail_if(cut)]
    fd = _NAMED_FD.match(inside)
    if name in ("open", "openat", "creat", "mkdir", "unlink", "mkdirat", "unlinkat"):
        return Call(name, strings[0].decode(), b"", arguments, False)
    assert fd, f"not understood: {line}"
    data = strings[0][: int(result)] if name in ("write", "pwrite64") else b""
    return Call(name, _unescape(fd[1]).decode(), data, arguments, bool(fd[2]))


def _unescape(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _fail_if(cut: str) -> bool:
    assert not cut, "strace cut off a string"
    return False
