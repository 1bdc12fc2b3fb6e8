"""What lies in conf/ for mode cluster-pool, just as it lies there: the network configurations, and
the units that keep a node."""

import json
import shlex
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Iterator

import pytest
from lab import places
from lab.cluster import Cluster, inside
from lab.control_plane import API
from lab.pools import OWN_PROTOCOL, blocks, flush_routes, own_routes
from lab.worker import Worker

CONF = places.ROOT / "conf"
UNITS = CONF / "systemd"
POOL = "172.20.0.0/16"  # README's, and that of 10-cluster-pool-bridge.conflist

# What systemd gives to a service.
ENVIRONMENT = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]

# ProtectSystem=strict, with PrivateTmp: nothing but these may be written to.
READ_ONLY = """
mount --make-rprivate /
findmnt --noheadings --raw --output=TARGET | while read -r target; do
  case $target in
  /dev*|/proc*|/sys*) ;;
  *) ! [ -e "$target" ] || mount -o remount,bind,ro "$target" ;; # others are hidden by a later one
  esac
done
mount -t tmpfs private /tmp
for folder in / /etc /var /var/lib/podlease; do
  if touch "$folder/.written" 2>/dev/null; then exit 99; fi
done
cd / && exec "$@"
"""


@pytest.fixture
def installed(pooled: Cluster) -> Iterator[Cluster]:
    """As README says: the definitions, the binary in /opt/cni/bin of each node, the pool."""
    kubeconfig = pooled.control_plane.authority.kubeconfig("admin", API)
    add = [places.podlease(), "pool", "add", "default", "--cidr", POOL]
    subprocess.run([*add, "--kubeconfig", kubeconfig], check=True, capture_output=True)
    for worker in pooled.workers.values():
        worker.run("mount", "-t", "tmpfs", "opt", "/opt")
        worker.run("mkdir", "-p", "/opt/cni/bin")
        worker.run("install", "-m", "0755", places.podlease(), "/opt/cni/bin/podlease")
    try:
        yield pooled
    finally:
        for worker in pooled.workers.values():
            flush_routes(worker, OWN_PROTOCOL)
            worker.run("umount", "/opt")


def use_shipped(worker: Worker, name: str) -> None:
    """Copies a network configuration to where a node has them."""
    text = (CONF / name).read_text()
    for old in worker.containerd.conf_dir.iterdir():
        old.unlink()
    (worker.containerd.conf_dir / name).write_text(text)
    worker.containerd.wait_for_config(json.loads(text))


def settings_of(unit: str) -> dict[str, list[str]]:
    """Of [Service], by their names."""
    settings: dict[str, list[str]] = {}
    section = ""
    for line in (UNITS / unit).read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            key, value = line.split("=", 1)
            settings.setdefault(key, []).append(value)
    return settings


def command_of(unit: str) -> list[str]:
    """Its ExecStart, to be run on a node as its [Service] wants it."""
    settings = settings_of(unit)
    (start,) = settings["ExecStart"]
    command = [*ENVIRONMENT]
    if settings.get("ProtectSystem") == ["strict"]:
        command += ["unshare", "--mount", "sh", "-ec", READ_ONLY, "service"]
    if "CapabilityBoundingSet" in settings:
        kept = [each.removeprefix("CAP_").lower() for each in settings["CapabilityBoundingSet"]]
        only = ",".join(["-all", *(f"+{each}" for each in kept)])
        command += ["setpriv", f"--inh-caps={only}", f"--bounding-set={only}"]
        command += ["--no-new-privs"] if settings.get("NoNewPrivileges") == ["true"] else []
        command += ["--"]
    return [*command, *shlex.split(start)]


@contextmanager
def service(worker: Worker, unit: str, log: Path) -> Iterator[subprocess.Popen]:
    """Runs until it is told to end, which it does well."""
    with log.open("w") as lines:
        command = [*worker.under, *command_of(unit)]
        process = subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        status = process.wait(20)
        assert status == 0, log.read_text()


@pytest.mark.parametrize("plugin", ["ptp", "bridge"])
def test_pods_of_the_shipped_configuration_reach_each_other(
    installed: Cluster, plugin: str, tmp_path: Path
):
    for worker in installed.workers.values():
        use_shipped(worker, f"10-cluster-pool-{plugin}.conflist")
    pods = installed.deploy("web", 4)
    assert {pod.node for pod in pods} == set(installed.workers)
    assert all(inside(address, [POOL]) for pod in pods for address in pod.addresses), pods
    with ExitStack() as services:
        for name, worker in installed.workers.items():
            unit = service(worker, "podlease-routes.service", tmp_path / name)
            services.enter_context(unit)
        installed.demand_reach(pods)
        wanted = {
            name: sorted(each.cidr for each in blocks(installed) if each.node != name)
            for name in installed.workers
        }
    # When it stops, the routes stay.
    left = {name: sorted(own_routes(worker)) for name, worker in installed.workers.items()}
    assert left == wanted
    for worker in installed.workers.values():
        checks = worker.doctor(statuses=(0,))
        assert not [check for check in checks if check["health"] == "wrong"], checks
    installed.demand_reach(pods)
    installed.demand_leases(pods)


def test_units_are_as_systemd_wants_them(installed: Cluster):
    node1 = installed.workers["node1"]
    units = sorted(UNITS.iterdir())
    assert [unit.name for unit in units if unit.suffix == ".timer"] == ["podlease-gc.timer"]
    done = node1.run("systemd-analyze", "verify", "--man=no", *units, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def looks_of(worker: Worker) -> dict[str, str]:
    """What podlease makes of each block."""
    found: list[dict[str, Any]] = worker.status()["looks"]
    return {look["place"]: look["outcome"] for look in found}


def test_the_timer_keeps_a_node_on_which_no_pod_starts(installed: Cluster):
    node1 = installed.workers["node1"]
    use_shipped(node1, "10-cluster-pool-ptp.conflist")
    conflist = json.loads((CONF / "10-cluster-pool-ptp.conflist").read_text())
    node1.network = {**conflist, "plugins": conflist["plugins"][:1]}
    node1.run("ip", "netns", "add", "lost")
    assert node1.call("ADD", "lost").ok
    node1.run("ip", "netns", "del", "lost")
    (block,) = blocks(installed, "node1")
    place = f"block {block.cidr}"
    assert looks_of(node1)[place] == "used for ipv4"

    # Over a reboot a block is nobody's before it was asked for, and no DEL of its pods comes.
    node1.reboot()
    assert looks_of(node1)[place].startswith("not used: not verified lately")
    assert len(node1.leased()) == 1
    done = node1.run(*command_of("podlease-gc.service"))
    assert "ended: it is of an earlier boot" in done.stdout
    assert looks_of(node1)[place] == "used for ipv4"
    assert node1.leased() == []
