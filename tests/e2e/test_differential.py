"""podlease answers as host-local does: one table of calls (differential_rows.py) for both, and one
list of the differences that are meant."""

import shutil
from pathlib import Path
from typing import Iterator

import pytest
from differential_rows import INTENDED, ROWS
from lab import differential
from lab.differential import Intended, Row
from lab.ipam import Ipam
from lab.netns import Netns


@pytest.fixture(scope="module")
def netns() -> Iterator[dict[str, str]]:
    """A network namespace that lives, and the name of one that does not."""
    pod = Netns("differential")
    yield {"pod": str(pod.path), "gone": "/run/netns/never-was"}
    pod.delete()


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory, since a thousand rows would wait for a disk to sync."""
    path = Path("/run/differential")
    path.mkdir()
    yield path
    shutil.rmtree(path)


def intended(row: Row) -> list[Intended]:
    return [entry for entry in INTENDED if entry.selects(row)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_podlease_answers_as_host_local_does(
    row: Row, netns: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    differential.prepare_host(row)
    runs = []
    for plugin in ("host-local", "podlease"):
        own = folder / plugin
        own.mkdir()
        monkeypatch.chdir(own)  # for relative paths
        runs.append(differential.run(row, Ipam(plugin, own / "leases"), own, netns))
    shown = differential.describe(row, *runs)

    # An entry that nothing differs for any more fails here too: the list stays true.
    meant = [entry.marks for entry in intended(row)] or [differential.same_in_all(row)]
    assert [differential.marks(row, *runs)] == meant, shown
    assert differential.faults(row, *runs) == [], shown


def test_every_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))


def test_every_intended_difference_is_that_of_a_row() -> None:
    unused = [entry.rows for entry in INTENDED if not any(map(entry.selects, ROWS))]
    assert unused == []
