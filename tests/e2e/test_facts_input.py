"""The rows of FACTS.md section 5 about what comes in: 11, 21, 23, 26 to 28, 30 and 34. Each is told
in one line that names the place, with the right code, and nothing is leased."""

import json
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest
from lab import cni, places
from lab.api_server import ApiServer, node
from lab.cni import Answer
from lab.world import GATEWAY, conf_dir, configuration

ENVIRONMENT, CONFIG, OTHER = 4, 7, 999
NETNS = "/run/netns/none"  # need not exist
V4, V6 = "10.71.0.0/24", "fd00:71::/64"
FAMILY = pytest.mark.parametrize("subnet", [V4, V6], ids=["v4", "v6"])


def call(verb: str, conf: Any, **how: Any) -> Answer:
    return cni.call(places.podlease(), verb, conf, **{"netns": NETNS, **how})


def add(conf: dict, **how: Any) -> list[str]:
    answer = call("ADD", conf, **how)
    assert answer.ok, answer
    return answer.addresses


def refuse(conf: dict, code: int, *words: str, **how: Any) -> str:
    answer = call("ADD", conf, **how)
    assert answer.status == 1, answer
    error = answer.json
    assert error["code"] == code, error
    text = error["msg"] + " " + error.get("details", "")
    for word in words:
        assert word in text, (word, error)
    assert "\n" not in error["msg"]
    assert leases() == {}
    return text


def leases() -> dict[str, str]:
    if not places.LEASES.exists():
        return {}
    listed = json.loads(command("list", "--output", "json").stdout)
    return {lease["address"]: lease["containerID"] for lease in listed}


def command(*words: object, stdin: Any = None, statuses: tuple[int, ...] = (0,)) -> Any:
    done = subprocess.run(
        [places.podlease(), *words],
        input=json.dumps(stdin) if stdin is not None else "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in statuses, done
    return done


# --- Row 11: names with control characters --------------------------------------------------------

EVIL = {
    "newline": "a\n2026-01-01T00:00:00Z error: all is lost",
    "return": "a\rforged",
    "escape": "a\x1b[2Jb",
    "title": "a\x1b]0;owned\x07b",
    "c1": "a\u009b31mb",
    "delete": "a\x7fb",
}


def is_clean(text: str) -> bool:
    return all(c == "\n" or (ord(c) >= 32 and not 127 <= ord(c) < 160) for c in text)


def is_forged(text: str) -> bool:
    return any(line.startswith("2026-01-01") for line in text.splitlines())


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL.keys())
@pytest.mark.parametrize("key", ["K8S_POD_NAME", "K8S_POD_NAMESPACE", "K8S_POD_UID"])
def test_11_no_name_of_a_pod_forges_a_line_or_moves_a_cursor(tmp_path: Path, evil: str, key: str):
    log = tmp_path / "log"
    conf = configuration(V4, log={"file": str(log), "level": "debug"})
    names = {"K8S_POD_NAMESPACE": "shop", "K8S_POD_NAME": "cart", "K8S_POD_UID": "uid-1"}
    args = ";".join(f"{name}={value}" for name, value in {**names, key: evil}.items())
    answer = call("ADD", conf, args=args)
    if not answer.ok:  # refusing such a name is as good
        assert answer.json["code"] == ENVIRONMENT and is_clean(answer.json["msg"])
        return
    call("ADD", conf, container_id="two", args=f"IP={answer.addresses[0]}")
    for words in (
        ["list"],
        ["show", answer.addresses[0]],
        ["status"],
        ["history"],
        ["audit"],
        ["gc", "--dry-run"],
        ["release", answer.addresses[0]],
        ["explain"],
    ):
        shown = command(*words, stdin=conf, statuses=(0, 1, 2))
        assert is_clean(shown.stdout) and is_clean(shown.stderr), (words, shown)
        assert not is_forged(shown.stdout + shown.stderr), (words, shown)
    call("DEL", conf, args=args)
    assert is_clean(command("history").stdout)
    text = log.read_text() if log.exists() else ""
    assert is_clean(text), text
    assert not is_forged(text), text


def test_11_a_conflict_does_not_print_them_either():
    conf = configuration(V4)
    (address,) = add(conf, args=f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME={EVIL['escape']}")
    answer = call("ADD", conf, container_id="two", args=f"IP={address}")
    assert "\x1b" not in answer.json["msg"] + answer.json.get("details", "")
    assert b"\x1b" not in answer.stdout


# --- Row 21: the order of podCIDRs ----------------------------------------------------------------


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path / "api")
    yield server
    server.close()


def of_cluster(api: ApiServer, **ipam: Any) -> dict:
    kubernetes = {"kubeconfig": str(api.kubeconfig()), "nodeName": "worker"}
    conf = configuration(kubernetes=kubernetes, **ipam)
    del conf["ipam"]["ranges"]
    return conf


@pytest.mark.parametrize("cidrs", [[V6, V4], [V4, V6]], ids=["v6 first", "v4 first"])
def test_21_addresses_are_in_the_order_of_the_pod_cidrs(api: ApiServer, cidrs: list[str]):
    """The first is the pod's primary address: a cluster that prefers IPv6 lists that first."""
    api.set_node(node(podCIDRs=cidrs, podCIDR=cidrs[0]))
    first = {V4: "10.71.0.2", V6: "fd00:71::2"}
    assert add(of_cluster(api)) == [first[cidr] for cidr in cidrs]
    assert add(of_cluster(api)) == [first[cidr] for cidr in cidrs], "also when repeated"


@pytest.mark.parametrize("families", [["ipv4", "ipv6"], ["ipv6", "ipv4"]])
def test_21_families_is_an_order_of_its_own(api: ApiServer, families: list[str]):
    api.set_node(node(podCIDRs=[V6, V4], podCIDR=V6))
    first = {"ipv4": "10.71.0.2", "ipv6": "fd00:71::2"}
    assert add(of_cluster(api, families=families)) == [first[family] for family in families]


# --- Row 23: Multus in front ----------------------------------------------------------------------


def with_multus(folder: Path, **multus: Any) -> Path:
    lab = configuration(V4, main=GATEWAY)
    conf_dir(folder, lab)
    shim = {"cniVersion": "0.3.1", "name": "multus-cni-network", "type": "multus", **multus}
    shim["kubeconfig"] = "/etc/cni/net.d/multus.d/multus.kubeconfig"
    (folder / "00-multus.conf").write_text(json.dumps(shim))
    return folder


LAB = configuration(V4, main=GATEWAY)
LIST = {
    "cniVersion": "1.1.0",
    "name": "lab",
    "plugins": [{key: LAB[key] for key in ("type", "bridge", "isGateway", "ipam")}],
}


@pytest.mark.parametrize(
    "multus",
    [{"delegates": [LAB]}, {"delegates": [LIST]}, {"type": "multus-shim", "delegates": [LIST]}],
    ids=["configuration", "list", "thick"],
)
def test_23_doctor_looks_inside_multus(tmp_path: Path, multus: dict):
    folder = with_multus(tmp_path / "net.d", **multus)
    done = command("doctor", "--conf-dir", folder, statuses=(0, 2))
    assert "podlease is not called" not in done.stdout
    assert "00-multus.conf" in done.stdout and "network lab" in done.stdout, done.stdout


def test_23_what_multus_delegates_elsewhere_is_still_told(tmp_path: Path):
    other = {**LAB, "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}
    folder = with_multus(tmp_path / "net.d", delegates=[other])
    done = command("doctor", "--conf-dir", folder, statuses=(0, 2))
    assert "podlease is not called" in done.stdout, done.stdout


def test_23_nor_is_multus_own_cache_overlooked(tmp_path: Path):
    """With its default network in a file, as `clusterNetwork` names it."""
    folder = with_multus(tmp_path / "net.d", clusterNetwork=str(tmp_path / "net.d/10-lab.conf"))
    done = command("doctor", "--conf-dir", folder, statuses=(0, 2))
    assert "podlease is not called" not in done.stdout


# --- Row 26: nothing left of a range --------------------------------------------------------------

EATEN = {
    "exclude": ({"subnet": V4}, [V4], "exclude"),
    "exclude v6": ({"subnet": V6}, [V6], "exclude"),
    "exclude in parts": ({"subnet": V4}, ["10.71.0.0/25", "10.71.0.128-10.71.0.255"], "exclude"),
    "exclude and gateway": ({"subnet": "10.71.0.0/30"}, ["10.71.0.2"], "exclude"),
    "gateway": (
        {"subnet": V4, "rangeStart": "10.71.0.9", "rangeEnd": "10.71.0.9", "gateway": "10.71.0.9"},
        [],
        "gateway",
    ),
    "gateway v6": (
        {"subnet": V6, "rangeStart": "fd00:71::1", "rangeEnd": "fd00:71::1"},
        [],
        "gateway",
    ),
}


@pytest.mark.parametrize("eaten", EATEN.values(), ids=EATEN.keys())
def test_26_a_range_with_no_address_left_is_a_mistake_of_the_configuration(
    eaten: tuple[dict, list[str], str]
):
    one, exclude, word = eaten
    conf = configuration(ranges=[[one]], exclude=exclude)
    text = refuse(conf, CONFIG, word)
    assert one["subnet"] in text or one.get("rangeStart", "") in text
    assert "See who has them" not in text


def test_26_another_range_of_the_set_serves():
    sets = [[{"subnet": "10.72.0.0/24"}, {"subnet": V4}]]
    assert add(configuration(ranges=sets, exclude=["10.72.0.0/24"])) == ["10.71.0.2"]


def test_26_del_of_a_pod_of_before_goes_on():
    conf = configuration(V4)
    add(conf)
    assert call("DEL", {**conf, "ipam": {**conf["ipam"], "exclude": [V4]}}).ok
    assert leases() == {}


# --- Row 27: one pair of brackets -----------------------------------------------------------------


@pytest.mark.parametrize("ranges", [[{"subnet": V4}], [{"subnet": V6}], [{"subnet": V4}, {}]])
def test_27_a_list_of_ranges_is_told_what_it_should_be(ranges: list):
    refuse(configuration(ranges=ranges), CONFIG, "ranges[0]", "[[{")


def test_27_a_range_alone_too():
    refuse(configuration(ranges={"subnet": V4}), CONFIG, "ranges", "[[{")


# --- Row 28: white space --------------------------------------------------------------------------

# What Go's unicode.IsSpace says yes to, which libcni asks.
SPACES = "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
SPACES += "\u200a\u2028\u2029\u202f\u205f\u3000"


@pytest.mark.parametrize("space", SPACES, ids=[f"U+{ord(c):04X}" for c in SPACES])
@pytest.mark.parametrize("name", ["eth{}0", "{}eth0", "eth0{}", "{}"])
def test_28_an_interface_name_with_white_space_is_none(space: str, name: str):
    refuse(configuration(V4), ENVIRONMENT, "CNI_IFNAME", ifname=name.format(space))


@pytest.mark.parametrize("name", ["ethé0", "eth\u200b0", "網路", "eth0.7", "eth-0_1", "e+@#"])
def test_28_other_characters_are_the_kernels_affair(name: str):
    """U+200B is no space to Go, whatever it looks like."""
    add(configuration(V4), ifname=name)
    assert call("DEL", configuration(V4), ifname=name).ok
    assert leases() == {}


# --- Row 30: CHECK --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subnet, other", [(V4, "10.71.0.99/24"), (V6, "fd00:71::99/64"), (V4, "192.0.2.7/24")]
)
@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_30_check_names_what_is_leased_and_what_it_was_told(subnet: str, other: str, version: str):
    conf = {**configuration(subnet), "cniVersion": version}
    (address,) = add(conf)
    ip = {"address": other, **({"version": "4"} if version == "0.4.0" else {})}
    if version == "0.4.0" and ":" in other:
        ip["version"] = "6"
    result = {"cniVersion": version, "ips": [ip]}
    answer = call("CHECK", {**conf, "prevResult": result})
    assert not answer.ok and answer.json["code"] == OTHER, answer
    text = answer.json["msg"] + " " + answer.json.get("details", "")
    assert address in text and other.split("/")[0] in text, text


# --- Row 34: keys of other plugins ----------------------------------------------------------------

FOREIGN = {
    "whereabouts' list": ("ipRanges", [{"range": "10.71.0.0/24"}]),
    "whereabouts' v6": ("ipRanges", [{"range": "fd00:71::/64"}]),
    "static's": ("addresses", [{"address": "10.71.0.9/24", "gateway": "10.71.0.1"}]),
    "static's v6": ("addresses", [{"address": "fd00:71::9/64"}]),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN.keys())
@pytest.mark.parametrize("mode", [{}, {"mode": "kubernetes"}], ids=["by default", "said so"])
@pytest.mark.parametrize("as_list", [False, True], ids=["conf", "conflist"])
@pytest.mark.parametrize("known", [True, False], ids=["node known", "no API"])
def test_34_what_names_addresses_for_another_plugin_is_told_to_be_ignored(
    api: ApiServer, tmp_path: Path, foreign: tuple[str, Any], mode: dict, as_list: bool, known: bool
):
    """Without our own `ranges` the configuration ends up in mode kubernetes, and pods get addresses
    that nobody asked for."""
    if known:
        api.set_node(node(podCIDRs=["10.244.1.0/24"], podCIDR="10.244.1.0/24"))
    key, value = foreign
    conf = of_cluster(api, **{key: value}, **mode)
    if not known:
        del conf["ipam"]["kubernetes"]
    folder = conf_dir(tmp_path / "net.d", conf)
    if as_list:
        plugin = {name: conf[name] for name in ("type", "bridge", "ipam")}
        conf = {"cniVersion": "1.1.0", "name": "lab", "plugins": [plugin]}
        (folder / "10-lab.conf").unlink()
        (folder / "10-lab.conflist").write_text(json.dumps(conf))
    for done in (
        command("doctor", "--conf-dir", folder, statuses=(0, 2)),
        command("explain", stdin=conf, statuses=(0, 1)),
    ):
        text = done.stdout + done.stderr
        told = [line for line in text.splitlines() if f"ipam.{key}" in line or f'"{key}"' in line]
        assert told and any("ignore" in line for line in told), text
