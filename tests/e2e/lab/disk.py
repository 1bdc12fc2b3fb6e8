"""A disk whose power is cut: what survives of files and folders that were not synced.

Between two syncs of a file the kernel may write back any sector at any time, so each sector of the
survivor holds any of the versions it had since then; names in a folder likewise, until the folder
itself is synced. Syncing a file does not sync its name: POSIX promises no more, though ext4 and xfs
do more."""

import os
import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from lab.strace import Call

SECTOR = 512
FOLDER = -1  # in place of a file's number

# How much of what was not synced survives: nothing, all, a random version of each sector and name,
# or all up to a random moment, the last write cut anywhere.
MODES = ("nothing", "all", "sectors", "prefix")


@dataclass
class File:
    """`versions` are the contents since the last sync, that of the sync first; `spans` tell where
    each differs from the one before it."""

    versions: list[bytes] = field(default_factory=lambda: [b""])
    spans: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])

    @property
    def now(self) -> bytes:
        return self.versions[-1]

    def write(self, offset: int, data: bytes) -> None:
        before = self.now.ljust(offset, b"\0")
        self.versions.append(before[:offset] + data + before[offset + len(data) :])
        self.spans.append((offset, offset + len(data)))

    def truncate(self, size: int) -> None:
        self.versions.append(self.now[:size].ljust(size, b"\0"))
        self.spans.append((size, size))

    def allocate(self, mode: str, offset: str, length: str) -> None:
        """Only the size is seen, and that only if it is not kept."""
        assert mode in ("0", "FALLOC_FL_KEEP_SIZE"), mode
        if mode == "0":
            self.truncate(max(len(self.now), int(offset) + int(length)))

    def sync(self) -> None:
        del self.versions[:-1], self.spans[:-1]

    def survivor(self, mode: str, chance: random.Random) -> bytes:
        if mode == "nothing":
            return self.versions[0]
        if mode == "all" or len(self.versions) == 1:
            return self.now
        return self._sectors(chance) if mode == "sectors" else self._prefix(chance)

    def _sectors(self, chance: random.Random) -> bytes:
        size = len(chance.choice(self.versions))
        parts = []
        for start in range(0, size, SECTOR):
            end = min(start + SECTOR, size)
            part = chance.choice(self.versions)[start:end]
            parts.append(part.ljust(end - start, b"\0"))
        return b"".join(parts)

    def _prefix(self, chance: random.Random) -> bytes:
        index = chance.randrange(1, len(self.versions))
        whole, torn = self.versions[index - 1 : index + 1]
        cut = chance.randint(*self.spans[index])
        return torn[:cut] + whole[cut:]


@dataclass
class Folder:
    """`versions` are the names since the last sync, each with a file's number or FOLDER."""

    versions: list[dict[str, int]] = field(default_factory=lambda: [{}])

    @property
    def now(self) -> dict[str, int]:
        return self.versions[-1]

    def put(self, name: str, number: Optional[int]) -> None:
        names = {**self.now, name: number}
        self.versions.append({key: value for key, value in names.items() if value is not None})

    def sync(self) -> None:
        del self.versions[:-1]

    def survivor(self, mode: str, chance: random.Random) -> dict[str, int]:
        if mode == "nothing":
            return self.versions[0]
        if mode == "all":
            return self.now
        if mode == "prefix":
            return chance.choice(self.versions)
        every = sorted({name for names in self.versions for name in names})
        drawn = {name: chance.choice(self.versions).get(name) for name in every}
        return {name: number for name, number in drawn.items() if number is not None}


@dataclass
class Survivor:
    """What a disk holds after the cut: contents by path, and which file (by number) each is."""

    folders: set[str]
    files: dict[str, bytes]
    numbers: dict[str, int]


class Disk:
    """Follows the calls of traced processes below some folders; their parents are no concern."""

    def __init__(self, *tops: Path) -> None:
        self.files: list[File] = []
        self.folders: dict[str, Folder] = {}
        self.identities: dict[int, tuple[int, int]] = {}  # inode and birth, of files still there
        for top in tops:
            self._take_over(str(top))

    def apply(self, call: Call) -> None:
        path = os.path.normpath(call.path)
        parent, name = os.path.split(path)
        if call.gone or (parent not in self.folders and path not in self.folders):
            return
        if call.name in ("open", "openat", "creat"):
            self._open(parent, name, call)
        elif call.name == "mkdir":
            self.folders[parent].put(name, FOLDER)
            self.folders[path] = Folder()
        elif call.name == "unlink":
            self.folders[parent].put(name, None)
        elif call.is_sync:
            (self.folders[path] if path in self.folders else self._at(path)).sync()
        elif call.name == "pwrite64":
            self._at(path).write(int(call.arguments[-1]), call.data)
        elif call.name == "write":  # to a file opened with O_APPEND, or just created
            self._at(path).write(len(self._at(path).now), call.data)
        elif call.name == "ftruncate":
            self._at(path).truncate(int(call.arguments[-1]))
        elif call.name == "fallocate":
            self._at(path).allocate(*call.arguments[1:])
        else:
            raise AssertionError(f"the model knows no {call.name}: {call.path}")

    def identify(self) -> None:
        """Notes inode and birth of the files that are there now."""
        for folder, names in ((path, folder.now) for path, folder in self.folders.items()):
            for name, number in names.items():
                if number != FOLDER and number not in self.identities:
                    self.identities[number] = identity(Path(folder, name))

    def demand_equal(self) -> None:
        """The page cache of this disk is that of the kernel: no change was missed."""
        for folder, names in ((path, folder.now) for path, folder in self.folders.items()):
            assert set(names) == set(os.listdir(folder)), folder
            for name, number in names.items():
                # An index of a log is shared memory, written without any call.
                if number != FOLDER and not name.endswith("-shm"):
                    content = Path(folder, name).read_bytes()
                    assert content == self.files[number].now, f"{folder}/{name}"

    def survivor(self, mode: str, chance: random.Random) -> Survivor:
        """What is left if the power is cut now."""
        left = Survivor(set(), {}, {})
        for path in sorted(self.folders, key=len):  # a parent before what is in it
            parent = os.path.dirname(path)
            if parent in self.folders and path not in left.folders:
                continue
            left.folders.add(path)
            for name, number in self.folders[path].survivor(mode, chance).items():
                self._keep(left, f"{path}/{name}", number, mode, chance)
        return left

    def _keep(
        self, left: Survivor, path: str, number: int, mode: str, chance: random.Random
    ) -> None:
        if number == FOLDER:
            left.folders.add(path)
            return
        left.files[path] = self.files[number].survivor(mode, chance)
        left.numbers[path] = number

    def _take_over(self, top: str) -> None:
        """What is there before the first traced call is durable."""
        folder = self.folders[top] = Folder()
        for path in sorted(Path(top).iterdir()):
            if path.is_dir():
                folder.now[path.name] = FOLDER
                self._take_over(str(path))
            else:
                self.files.append(File([path.read_bytes()]))
                folder.now[path.name] = len(self.files) - 1

    def _open(self, parent: str, name: str, call: Call) -> None:
        if parent not in self.folders or name in self.folders[parent].now:
            assert "O_TRUNC" not in " ".join(call.arguments), f"the model knows no O_TRUNC: {name}"
            return
        if f"{parent}/{name}" not in self.folders:
            self.files.append(File())
            self.folders[parent].put(name, len(self.files) - 1)

    def _at(self, path: str) -> File:
        parent, name = os.path.split(path)
        return self.files[self.folders[parent].now[name]]


def identity(path: Path) -> tuple[int, int]:
    """Inode and time of birth in nanoseconds."""
    words = subprocess.check_output(["stat", "--format=%i %.9W", path], text=True).split()
    return int(words[0]), int(words[1].replace(".", ""))


@dataclass
class Promises:
    """What podlease has answered: the addresses of containers whose ADD ended well, and of which
    containers nothing is known, as their last call was killed or is under way."""

    held: dict[str, list[str]] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)

    def begin(self, container_id: str) -> None:
        self.held.pop(container_id, None)
        self.doubtful.add(container_id)

    def copy(self) -> "Promises":
        return Promises(dict(self.held), set(self.doubtful))
