"""Fixtures of the tests on a real Kubernetes. They need real root rights and change the machine's
network, so they run in tests/sandbox only; `scripts/test cluster` does that."""

import os

import pytest
from lab import places

pytest_plugins = ["lab.containerd", "lab.cluster", "lab.pools"]


def pytest_configure(config: pytest.Config) -> None:
    if not os.environ.get("PODLEASE_SANDBOX"):
        raise pytest.UsageError("run these through tests/sandbox, or with scripts/test cluster")
    if not os.access(places.podlease(), os.X_OK):
        raise pytest.UsageError(f"there is no {places.podlease()}: run scripts/build release")
