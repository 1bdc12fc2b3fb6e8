"""Fixtures of the end-to-end tests. They need real root rights and change the machine's network,
so they run in tests/sandbox only; `scripts/test e2e` does that."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import pytest
from lab import places
from lab.ipam import Ipam

pytest_plugins = ["lab.netns", "lab.containerd", "lab.world"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--ipam",
        choices=["podlease", "host-local"],
        default="podlease",
        help="the IPAM plugin of tests of whole networks; host-local proves the harness",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not os.environ.get("PODLEASE_SANDBOX"):
        raise pytest.UsageError("run these through tests/sandbox, or with scripts/test e2e")
    if config.getoption("--ipam") == "podlease" and not os.access(places.podlease(), os.X_OK):
        raise pytest.UsageError(f"there is no {places.podlease()}: run scripts/build release")


@pytest.fixture
def ipam(request: pytest.FixtureRequest, tmp_path: Path) -> Ipam:
    """The IPAM plugin chosen by --ipam, with an empty folder for its leases."""
    return Ipam(request.config.getoption("--ipam"), tmp_path / "leases")


@pytest.fixture(autouse=True)
def clean_host() -> Iterator[None]:
    """Each test finds the sandbox as the first one did: no links, no CNI cache, no leases. Being
    automatic, it is set up before the other fixtures and so ends after them."""
    yield
    links = json.loads(subprocess.check_output(["ip", "-json", "link"]))
    for name in (link["ifname"] for link in links if link["ifname"] != "lo"):
        # Without check: half of a veth pair went with its other half.
        subprocess.run(["ip", "link", "del", name], check=False, stderr=subprocess.DEVNULL)
    for folder in (Path("/var/lib/cni"), Path("/var/lib/podlease")):
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
