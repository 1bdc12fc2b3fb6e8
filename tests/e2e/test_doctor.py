"""What `podlease doctor` finds on a node before a pod does, and where other commands say that they
were told of something that is not there."""

import json
import subprocess
from pathlib import Path

import pytest
from lab import cnitool, places
from lab.cnitool import Network
from lab.netns import NetnsFactory
from lab.world import BRIDGE, GATEWAY, World, conf_dir, configuration

SUBNET = "10.61.0.0/29"


def ip(*words: object) -> None:
    subprocess.run(["ip", *map(str, words)], check=True)


def findings(world: World, tmp_path: Path, conf: dict, *under: object) -> dict[str, list[dict]]:
    """Of `doctor`, by subject."""
    done = world.command(
        "doctor",
        "--output",
        "json",
        "--conf-dir",
        conf_dir(tmp_path / "net.d", conf),
        under=under,
        statuses=(0, 2),
    )
    found: dict[str, list[dict]] = {}
    for check in json.loads(done.stdout):
        found.setdefault(check["subject"], []).append(check)
    return found


def network_of(folder: Path, conf: dict) -> Network:
    """The same, for cnitool: with real plugins."""
    plugin = {key: value for key, value in conf.items() if key not in ("cniVersion", "name")}
    return Network(folder / "lists", cnitool.conflist(conf["name"], plugin))


@pytest.mark.parametrize("address", ["10.61.0.6/29", "10.61.0.1/24", "192.168.7.1/24"])
@pytest.mark.parametrize("forces", [False, True], ids=["as it is", "forceAddress"])
def test_a_bridge_with_another_address_is_found_before_bridge_refuses_a_pod(
    world: World, tmp_path: Path, new_netns: NetnsFactory, address: str, forces: bool
):
    ip("link", "add", "cni0", "type", "bridge")
    ip("address", "add", address, "dev", "cni0")
    conf = configuration(SUBNET, main={**GATEWAY, "forceAddress": forces})
    wrong = findings(world, tmp_path, conf).get("bridge", [])
    assert bool(wrong) == (not forces)
    for check in wrong:
        assert check["health"] == "wrong" and check["remedy"]
        assert address in check["finding"] and "10.61.0.1/29" in check["finding"]
    answer = network_of(tmp_path, conf).add(new_netns())
    assert answer.ok == forces, f"the bridge plugin sees it otherwise: {answer}"


def test_a_bridge_that_has_the_gateways_address_is_well(
    world: World, tmp_path: Path, new_netns: NetnsFactory
):
    conf = configuration(SUBNET, "fd00:61::/125", main=GATEWAY)
    network = network_of(tmp_path, conf)
    assert network.add(new_netns()).ok
    ip("address", "add", "fd00:62::1/64", "dev", "cni0", "nodad")
    assert "bridge" not in findings(world, tmp_path, conf)
    assert network.add(new_netns()).ok


@pytest.mark.parametrize(
    "main",
    [
        {"type": "macvlan", "master": "eth9"},
        {"type": "ipvlan", "master": "eth9"},
        {"type": "vlan", "master": "eth9", "vlanId": 5},
        {"type": "host-device", "device": "eth9"},
        {"type": "macvlan"},
    ],
    ids=["macvlan", "ipvlan", "vlan", "host-device", "no default route"],
)
def test_a_missing_master_is_found(world: World, tmp_path: Path, main: dict):
    conf = configuration(SUBNET, main=main)
    (check,) = findings(world, tmp_path, conf)["master"]
    assert check["health"] == "wrong"
    assert main["type"] in check["finding"]
    assert "eth9" in check["finding"] or "default route" in check["finding"]
    ip("link", "add", "eth9", "type", "veth", "peer", "name", "eth9-far")
    ip("link", "set", "eth9-far", "up")
    ip("link", "set", "eth9", "up")
    ip("address", "add", "192.0.2.9/24", "dev", "eth9")
    ip("route", "add", "default", "via", "192.0.2.1")
    assert "master" not in findings(world, tmp_path, conf)


def test_the_main_plugin_is_looked_for_where_the_runtime_would(world: World, tmp_path: Path):
    conf = configuration(SUBNET, main=BRIDGE)
    (check,) = findings(world, tmp_path, conf, "env", "CNI_PATH=/nowhere:/neither")["main plugin"]
    assert check["health"] == "note" and "bridge is in none of /nowhere, /neither" in check["finding"]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/bridge").touch()
    path = f"CNI_PATH=/nowhere:{tmp_path}/bin"
    (check,) = findings(world, tmp_path, conf, "env", path)["main plugin"]
    assert check["health"] == "ok" and check["finding"] == f"{tmp_path}/bin/bridge"


def test_a_log_without_a_folder_is_told(world: World, tmp_path: Path):
    conf = configuration(SUBNET, log={"file": f"{tmp_path}/no/log"})
    (check,) = findings(world, tmp_path, conf)["log"]
    assert check["health"] == "note" and f"{tmp_path}/no" in check["finding"]
    (tmp_path / "no").mkdir()
    assert "log" not in findings(world, tmp_path, conf)


@pytest.mark.parametrize("command", ["status", "doctor", "gc"])
def test_a_folder_of_configurations_that_is_not_there_is_told(world: World, command: str):
    done = world.command(command, "--conf-dir", "/nope", statuses=(1,))
    assert "/nope is not a folder" in done.stderr


@pytest.mark.parametrize("command", ["list", "status", "audit", "gc", "history"])
def test_a_store_that_is_not_there_is_told(world: World, command: str):
    done = world.command(command, folder=Path("/nope"))
    assert "there is no store in /nope" in done.stderr
    world.add(world.pod(), configuration(SUBNET))
    assert "no store" not in world.command(command, folder=places.LEASES).stderr
