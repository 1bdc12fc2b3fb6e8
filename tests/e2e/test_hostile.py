"""Input that nobody should send: each is refused in one line that names the place and the value,
with the code of DESIGN section 6, and leaves neither a lease nor a file."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, Union

import pytest
from lab import cni, places
from lab.cni import Answer

NETNS = "/run/netns/none"  # need not exist
LONGEST_LINE = 2000
ENVIRONMENT, IO, DECODE, CONFIG, EXHAUSTED, TAKEN = 4, 5, 6, 7, 100, 101
VERSION, UNSUPPORTED, BUSY, OTHER = 1, 2, 11, 999

Text = Union[str, bytes]


def tree(*roots: Path) -> set[str]:
    """Every name below the roots."""
    return {str(path) for root in roots if root.exists() for path in root.rglob("*")}


def error_of(answer: Answer) -> dict:
    """The one error document on stdout, checked for its shape."""
    assert answer.status == 1, answer
    error = json.loads(answer.stdout)  # fails if there is anything else
    assert set(error) <= {"cniVersion", "code", "msg", "details"}
    assert isinstance(error["cniVersion"], str)
    assert error["msg"] and "\n" not in error["msg"] and len(error["msg"]) < LONGEST_LINE
    assert answer.stderr == ""
    return error


@dataclass
class Plugin:
    """podlease with a data directory of its own, watched for what it leaves behind."""

    tmp: Path
    data_dir: Path

    def config(self, *ranges: Any, **ipam: Any) -> dict:
        """A configuration; without ranges, one of a /24."""
        sets = list(ranges) or [[{"subnet": "10.1.0.0/24"}]]
        own = {"type": "podlease", "dataDir": str(self.data_dir), "ranges": sets, **ipam}
        return {"cniVersion": "1.1.0", "name": "net", "ipam": own}

    def call(self, verb: str, config: cni.Config, **how: Any) -> Answer:
        return cni.call(places.podlease(), verb, config, **{"netns": NETNS, **how})

    def add(self, config: cni.Config, **how: Any) -> Answer:
        return self.call("ADD", config, **how)

    def refuse(self, config: cni.Config, code: int, *words: str, **how: Any) -> dict:
        """The ADD fails with the code, says the words, and makes no file anywhere."""
        roots = (self.tmp, Path("/var/lib/podlease"), Path("/var/lib/cni"))
        before = tree(*roots)
        error = error_of(self.add(config, **how))
        assert error["code"] == code, error
        for word in words:
            assert word in error["msg"], error
        assert tree(*roots) == before
        return error

    def leases(self, *options: str) -> list[dict]:
        command = [places.podlease(), "list", "--output", "json", "--data-dir", self.data_dir]
        return json.loads(subprocess.check_output([*command, *options]))


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path, tmp_path / "leases")


def raw_spawn(prepare: Callable[[], None], verb: str = "ADD", **how: Any) -> subprocess.Popen:
    """Starts the plugin with file descriptors that `prepare` has changed in the child."""
    env = cni.environment(verb, netns=NETNS, **how)
    return subprocess.Popen([places.podlease()], env=env, preexec_fn=prepare, close_fds=False)


# --- The table of bad input -------------------------------------------------------------


def test_an_empty_configuration_is_no_configuration(plugin: Plugin):
    for empty in ("", " \n\t "):
        plugin.refuse(empty, DECODE, "no network configuration on standard input")


@pytest.mark.parametrize("text", ["{", '{"name":', '{"name": "net", "ipam": {"ranges": [[', "nul"])
def test_json_cut_short_is_told_with_its_place(plugin: Plugin, text: str):
    plugin.refuse(text, DECODE, "not JSON", "column")


@pytest.mark.parametrize("text", ["[]", "7", '"net"', "null", "true"])
def test_json_that_is_no_object_is_refused(plugin: Plugin, text: str):
    plugin.refuse(text, DECODE, "not a JSON object")


def test_a_second_document_is_refused(plugin: Plugin):
    plugin.refuse(json.dumps(plugin.config()) + "{}", DECODE, "not JSON")


BAD_RANGES = {
    "host bits": ({"subnet": "10.1.0.5/24"}, ["ipam.ranges[0][0].subnet", "10.1.0.5/24"]),
    "no mask": ({"subnet": "10.1.0.0"}, ["ipam.ranges[0][0].subnet", "10.1.0.0"]),
    "mask too long": ({"subnet": "10.1.0.0/33"}, ["ipam.ranges[0][0].subnet", "10.1.0.0/33"]),
    "empty subnet": ({"subnet": ""}, ["ipam.ranges[0][0].subnet", '""']),
    "no subnet": ({"rangeStart": "10.1.0.5"}, ["ipam.ranges[0][0].subnet", "missing"]),
    "start after end": (
        {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.5"},
        ["ipam.ranges[0][0].rangeStart", "10.1.0.9", "10.1.0.5"],
    ),
    "start outside": (
        {"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.9"},
        ["ipam.ranges[0][0].rangeStart", "10.2.0.9", "10.1.0.0/24"],
    ),
    "end outside": (
        {"subnet": "10.1.0.0/24", "rangeEnd": "10.2.0.9"},
        ["ipam.ranges[0][0].rangeEnd", "10.2.0.9", "10.1.0.0/24"],
    ),
    "start of another family": (
        {"subnet": "10.1.0.0/24", "rangeStart": "fd00::9"},
        ["ipam.ranges[0][0].rangeStart", "fd00::9"],
    ),
    "gateway of another family": (
        {"subnet": "10.1.0.0/24", "gateway": "fd00::9"},
        ["ipam.ranges[0][0].gateway", "fd00::9"],
    ),
    "leading zero": (
        {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.010"},
        ["ipam.ranges[0][0].rangeStart", "10.1.0.010"],
    ),
    "too small": ({"subnet": "10.1.0.0/31"}, ["ipam.ranges[0][0].subnet", "10.1.0.0/31"]),
}


@pytest.mark.parametrize("bad", BAD_RANGES.values(), ids=BAD_RANGES.keys())
def test_a_bad_range_is_named_with_its_path_and_value(plugin: Plugin, bad: tuple[dict, list]):
    entry, words = bad
    plugin.refuse(plugin.config([entry]), CONFIG, *words)


def test_overlapping_range_sets_are_both_named(plugin: Plugin):
    config = plugin.config([{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.128/25"}])
    plugin.refuse(config, CONFIG, "ipam.ranges[0][0]", "ipam.ranges[1][0]", "overlaps")


def test_a_range_set_of_two_families_is_refused(plugin: Plugin):
    config = plugin.config([{"subnet": "10.1.0.0/24"}, {"subnet": "fd00::/64"}])
    plugin.refuse(config, CONFIG, "ipam.ranges[0][1].subnet", "fd00::/64")


@pytest.mark.parametrize("ranges", [[], [[]], None, [None]])
def test_no_ranges_are_refused(plugin: Plugin, ranges: Any):
    config = plugin.config(mode="static")
    config["ipam"]["ranges"] = ranges
    plugin.refuse(config, CONFIG, "range")


def test_no_ranges_and_no_cluster_are_refused(plugin: Plugin):
    """Without the mode, the ranges are those of the Node; this machine is none."""
    config = plugin.config()
    config["ipam"].pop("ranges", None)
    error = error_of(plugin.add(config))
    assert error["code"] == CONFIG and "no IP ranges specified" in error["msg"], error
    assert plugin.leases() == []


def test_a_configuration_without_ipam_or_name_is_refused(plugin: Plugin):
    plugin.refuse({"cniVersion": "1.1.0", "name": "net"}, CONFIG, "ipam")
    plugin.refuse({**plugin.config(), "name": ""}, CONFIG, "network name")
    nameless = plugin.config()
    del nameless["name"]
    plugin.refuse(nameless, CONFIG, "network name")


@pytest.mark.parametrize("version", ["9.9.9", "1.2.0", "one", " 1.1.0", "1.1.0\n", "x" * 5000])
def test_an_unknown_version_is_refused(plugin: Plugin, version: str):
    plugin.refuse({**plugin.config(), "cniVersion": version}, VERSION, "cniVersion", version[:4])


def test_every_missing_variable_is_named(plugin: Plugin):
    nothing = {"container_id": None, "netns": None, "ifname": None, "path": None}
    names = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"]
    plugin.refuse(plugin.config(), ENVIRONMENT, *names, **nothing)
    for keyword, name in zip(nothing, names):
        for absent in (None, ""):
            plugin.refuse(plugin.config(), ENVIRONMENT, name, **{keyword: absent})


@pytest.mark.parametrize("verb", ["ADDED", "add", " ADD", "ADD\n", "x" * 5000, "\udcff"])
def test_an_unknown_command_is_refused(plugin: Plugin, verb: str):
    error = error_of(plugin.call(verb, plugin.config()))
    assert error["code"] == ENVIRONMENT and "CNI_COMMAND" in error["msg"]


@pytest.mark.parametrize("container_id", ["a/b", "../a", "-a", ".", "a b", "a\nb", "\udcff", "ä"])
def test_a_container_id_that_is_none_is_refused(plugin: Plugin, container_id: str):
    plugin.refuse(plugin.config(), ENVIRONMENT, "CNI_CONTAINERID", container_id=container_id)


@pytest.mark.parametrize("ifname", ["eth/0", "eth:0", "eth 0", "eth\n0", "..", "x" * 16, "\t"])
def test_an_interface_name_that_is_none_is_refused(plugin: Plugin, ifname: str):
    plugin.refuse(plugin.config(), ENVIRONMENT, "CNI_IFNAME", ifname=ifname)


BAD_ARGS = ["IP", "IP=1=2", ";", "=", "A=1", "IgnoreUnknown=maybe", "IP=10.1.0.", "IP=\udcff"]


@pytest.mark.parametrize("args", BAD_ARGS)
def test_malformed_cni_args_are_refused(plugin: Plugin, args: str):
    plugin.refuse(plugin.config(), ENVIRONMENT, "CNI_ARGS", args=args)


def test_a_requested_address_out_of_range_is_refused(plugin: Plugin):
    error = error_of(plugin.add(plugin.config(), args="IP=10.2.0.5"))
    assert error["code"] == CONFIG
    assert "10.2.0.5" in error["msg"] and "CNI_ARGS IP" in error["details"]
    assert plugin.leases() == []


def test_a_requested_address_that_is_taken_names_its_holder(plugin: Plugin):
    who = "IP=10.1.0.5;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0"
    assert plugin.add(plugin.config(), container_id="first", args=who).ok
    error = error_of(plugin.add(plugin.config(), container_id="second", args="IP=10.1.0.5"))
    assert error["code"] == TAKEN
    for word in ("CNI_ARGS IP", "10.1.0.5", "first", "eth0", "shop/cart-0"):
        assert word in error["msg"]
    assert len(plugin.leases()) == 1


def test_a_requested_address_that_is_excluded_or_the_gateway_is_refused(plugin: Plugin):
    config = plugin.config(exclude=["10.1.0.16/28"])
    for address, word in (("10.1.0.20", "ipam.exclude"), ("10.1.0.1", "gateway")):
        error = error_of(plugin.add(config, args=f"IP={address}"))
        assert error["code"] == CONFIG
        assert "CNI_ARGS IP" in error["msg"] and address in error["msg"] and word in error["msg"]
    assert plugin.leases() == []


def test_another_address_under_a_live_key_is_refused(plugin: Plugin):
    assert plugin.add(plugin.config()).addresses == ["10.1.0.2"]
    error = error_of(plugin.add(plugin.config(), args="IP=10.1.0.9"))
    assert error["code"] == TAKEN and "10.1.0.2" in error["msg"] and "10.1.0.9" in error["msg"]


def test_exhaustion_of_one_family_leases_nothing_of_the_other(plugin: Plugin):
    config = plugin.config([{"subnet": "fd00::/64"}], [{"subnet": "10.1.0.0/30"}])
    assert plugin.add(config, container_id="first").ok
    error = error_of(plugin.add(config, container_id="second"))
    assert error["code"] == EXHAUSTED
    assert "no IP addresses available in range set: 10.1.0.1-10.1.0.2" in error["msg"]
    assert len(plugin.leases()) == 2


# --- Wrong types, everywhere --------------------------------------------------------------------

FULL = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "bridge",
    "args": {"cni": {"ips": ["10.1.0.9"]}},
    "runtimeConfig": {"ips": ["fd00::9"], "ipRanges": [[{"subnet": "10.3.0.0/24"}]]},
    "ipam": {
        "mode": "static",
        "ranges": [
            [{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.5", "rangeEnd": "10.1.0.50"}],
            [{"subnet": "fd00::/64", "gateway": "fd00::1"}],
        ],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1400, "table": 9}],
        "exclude": ["10.1.0.7"],
        "prefix": "subnet",
        "families": ["ipv4", "ipv6"],
        "cooldown": "30s",
        "lockTimeout": "30s",
        "statusFailsWhenExhausted": False,
        "log": {"level": "info"},
    },
}
# Not podlease's to judge: the main plugin's type.
FOREIGN = {"type"}
WRONG = {"number": 7, "real": 1.5, "object": {"a": 1}, "list": [1], "bool": True, "string": "\x01?"}


def paths_of(value: Any, path: tuple = ()) -> list[tuple]:
    """The path of each member and element, outer ones first."""
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    else:
        return []
    return [
        found
        for key, inner in members
        for found in [(*path, key), *paths_of(inner, (*path, key))]
    ]


def replaced(value: Any, path: tuple, wrong: Any) -> Any:
    """A copy with another value at the path."""
    if not path:
        return wrong
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], wrong)
    return copy


def shown(path: tuple) -> str:
    """The path as messages spell it: ipam.ranges[0][0].subnet."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".")


def at(path: tuple) -> Any:
    value: Any = FULL
    for part in path:
        value = value[part]
    return value


@pytest.mark.parametrize("path", [p for p in paths_of(FULL) if p[0] not in FOREIGN], ids=shown)
def test_a_wrong_type_is_named_with_its_path(plugin: Plugin, path: tuple):
    for wrong in WRONG.values():
        if isinstance(wrong, type(at(path))):
            continue
        config = replaced(FULL, path, wrong)
        if path != ("ipam",):
            config["ipam"]["dataDir"] = str(plugin.data_dir)
        code = DECODE if path == ("cniVersion",) else CONFIG
        plugin.refuse(config, code, shown(path))
    assert not plugin.data_dir.exists()


def test_the_untouched_full_configuration_is_served(plugin: Plugin):
    config = {**FULL, "ipam": {**FULL["ipam"], "dataDir": str(plugin.data_dir)}}
    assert plugin.add(config).addresses == ["10.3.0.2", "10.1.0.9", "fd00::9"]


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
@pytest.mark.parametrize("wrong", [7, "x", {}, [7], [{}], [{"containerID": 7, "ifname": "a"}]])
def test_gc_with_wrong_attachments_ends_nothing(plugin: Plugin, key: str, wrong: Any):
    assert plugin.add(plugin.config()).ok
    error = error_of(plugin.call("GC", {**plugin.config(), key: wrong}))
    assert error["code"] == CONFIG and key in error["msg"]
    assert len(plugin.leases()) == 1


@pytest.mark.parametrize("wrong", [7, "x", [], {"ips": 7}, {"ips": [7]}, {"ips": [{"address": 7}]}])
def test_check_with_a_wrong_prev_result_names_it(plugin: Plugin, wrong: Any):
    assert plugin.add(plugin.config()).ok
    error = error_of(plugin.call("CHECK", {**plugin.config(), "prevResult": wrong}))
    assert error["code"] == CONFIG and "prevResult" in error["msg"]


def test_null_counts_as_absent_but_not_in_a_list_of_addresses(plugin: Plugin):
    for path in paths_of(FULL["ipam"]):
        if not any(isinstance(part, int) for part in path) and path != ("ranges",):
            config = replaced({**FULL, "ipam": {**FULL["ipam"]}}, ("ipam", *path), None)
            config["ipam"]["dataDir"] = str(plugin.data_dir)
            answer = plugin.add(config, container_id="-".join(["null", *path]))
            assert answer.ok or answer.json["code"] == TAKEN, answer.stdout
    for ips in ({"runtimeConfig": {"ips": [None]}}, {"args": {"cni": {"ips": [None]}}}):
        assert error_of(plugin.add({**plugin.config(), **ips}))["code"] == CONFIG
    assert error_of(plugin.add(plugin.config(exclude=[None])))["code"] == CONFIG
    assert error_of(plugin.add(plugin.config(routes=[{"gw": "10.1.0.1"}])))["code"] == CONFIG


# --- Bytes --------------------------------------------------------------------------------------


def test_invalid_utf8_is_refused_in_every_string_and_key(plugin: Plugin):
    text = json.dumps(FULL).encode()
    quotes = [index for index, byte in enumerate(text) if byte == ord('"')]
    for index in quotes[::2]:
        broken = text[: index + 1] + b"\xff\xc0" + text[index + 1 :]
        plugin.refuse(broken, DECODE, "not JSON", "UTF-8")


def test_nul_bytes_are_refused(plugin: Plugin):
    text = json.dumps(plugin.config()).encode()
    plugin.refuse(b"\0" + text, DECODE, "network configuration")
    plugin.refuse(text + b"\0", DECODE, "NUL")
    plugin.refuse(text.replace(b"10.1.0.0/24", b"10.1.0.0/24\0"), DECODE, "NUL")


def test_an_escaped_nul_cuts_no_path_or_name_short(plugin: Plugin):
    beside = str(plugin.tmp / "beside")
    for key in ("dataDir", "resolvConf"):
        config = plugin.config(**{key: f"{beside}\0/x"})
        plugin.refuse(config, CONFIG, f"ipam.{key}", "beside\\x00")
    plugin.refuse(plugin.config(log={"file": f"{beside}\0"}), CONFIG, "ipam.log.file")
    plugin.refuse({**plugin.config(), "name": "net\0"}, CONFIG, "name", "net\\x00")
    plugin.refuse(plugin.config([{"subnet": "10.1.0.0/24\0"}]), CONFIG, "ipam.ranges[0][0].subnet")


def test_the_later_of_two_equal_keys_counts(plugin: Plugin):
    text = json.dumps(plugin.config())
    doubled = text.replace('"subnet": "10.1', '"subnet": 7, "Subnet": "9.0.0.0/8", "SUBNET": "10.1')
    assert plugin.add(doubled).addresses == ["10.1.0.2"]


HUGE = ["1e999", "-1e999", "9" * 400, "1e400000", "0." + "3" * 5000]


@pytest.mark.parametrize("number", HUGE, ids=range(len(HUGE)))
def test_huge_numbers_are_refused(plugin: Plugin, number: str):
    text = json.dumps(plugin.config(routes=[{"dst": "0.0.0.0/0", "mtu": 424242}]))
    error = error_of(plugin.add(text.replace("424242", number)))
    assert error["code"] in (DECODE, CONFIG)
    assert not plugin.data_dir.exists()


@pytest.mark.parametrize("number", ["9223372036854775808", "18446744073709551616"])
def test_numbers_beyond_64_bits_are_refused_with_their_path(plugin: Plugin, number: str):
    text = json.dumps(plugin.config(routes=[{"dst": "0.0.0.0/0", "mtu": 424242}]))
    plugin.refuse(text.replace("424242", number), CONFIG, "ipam.routes[0].mtu")


NO_DURATIONS = ["9" * 400 + "h", "1" + "0" * 19 + "s", "-1s", "1e3s", "infs", "s"]


@pytest.mark.parametrize("text", NO_DURATIONS)
def test_durations_that_are_none_are_refused(plugin: Plugin, text: str):
    for key in ("cooldown", "lockTimeout"):
        plugin.refuse(plugin.config(**{key: text}), CONFIG, f"ipam.{key}", text[:3])


# --- Size and shape -----------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["[", '{"a":', '{"ipam":', "[[{"])
def test_a_megabyte_of_nesting_is_refused_at_once(plugin: Plugin, unit: str):
    for text in (unit * (1_000_000 // len(unit)), '{"a":' + "[" * 500_000 + "]" * 500_000 + "}"):
        plugin.refuse(text, DECODE, "network configuration")


def test_a_deep_prev_result_is_ignored_and_a_deeper_one_refused(plugin: Plugin):
    for depth, ok in ((9_000, True), (20_000, False)):
        text = json.dumps(plugin.config())[:-1] + ', "prevResult": {"a": %s%s}}'
        answer = plugin.add(text % ("[" * depth, "]" * depth))
        assert answer.ok == ok
        assert ok or error_of(answer)["code"] == DECODE


def test_seventeen_megabytes_are_refused(plugin: Plugin):
    for filler in (" " * (17 << 20), '{"a":"' + "x" * (17 << 20) + '"}'):
        plugin.refuse(filler, DECODE, "standard input is larger than 16777216 bytes")


def test_del_of_seventeen_megabytes_still_ends_the_lease(plugin: Plugin):
    default = plugin.config()
    del default["ipam"]["dataDir"]
    assert plugin.add(default).ok
    assert plugin.call("DEL", " " * (17 << 20)).ok
    assert list(Path("/var/lib/podlease").glob("podlease.db"))
    assert json.loads(subprocess.check_output([places.podlease(), "list", "-o", "json"])) == []


def test_a_message_does_not_repeat_a_megabyte(plugin: Plugin):
    long = "x" * 1_000_000
    plugin.refuse('{"name": "' + long, DECODE, "not JSON")
    plugin.refuse(plugin.config([{"subnet": long}]), CONFIG, "ipam.ranges[0][0].subnet")
    plugin.refuse(plugin.config(**{"cooldown" + long: 1}, ranges=[[{long: 1}]]), CONFIG, "subnet")
    plugin.refuse({**plugin.config(), "name": long + "/"}, CONFIG, "name")
    plugin.refuse(plugin.config(mode=long), CONFIG, "ipam.mode")


def subnets(count: int, length: int = 28) -> list[str]:
    step = 1 << (32 - length)
    base = 10 << 24
    numbers = (base + index * step for index in range(count))
    return [".".join(str(n >> s & 255) for s in (24, 16, 8, 0)) + f"/{length}" for n in numbers]


def test_ten_thousand_ranges_are_served_fast(plugin: Plugin):
    config = plugin.config([{"subnet": subnet} for subnet in subnets(10_000)])
    assert plugin.add(config).addresses == ["10.0.0.2"]
    assert plugin.call("DEL", config).ok


def test_ten_thousand_range_sets_lease_all_or_nothing(plugin: Plugin):
    sets = [[{"subnet": subnet}] for subnet in subnets(10_000, 30)]
    assert len(plugin.add(plugin.config(*sets)).addresses) == 10_000
    error = error_of(plugin.add(plugin.config(*sets), container_id="second"))
    assert error["code"] == EXHAUSTED
    assert len(plugin.leases()) == 10_000
    assert plugin.call("DEL", plugin.config(*sets)).ok
    assert plugin.leases() == []


def test_ten_thousand_overlapping_range_sets_are_refused_fast(plugin: Plugin):
    sets = [[{"subnet": "10.0.0.0/8"}]] * 10_000
    plugin.refuse(plugin.config(*sets), CONFIG, "overlaps", "ipam.ranges[")
    repeated = {**plugin.config(*sets), "runtimeConfig": {"ipRanges": sets}}
    plugin.refuse(repeated, CONFIG, "overlaps")


def test_the_exhaustion_of_ten_thousand_ranges_is_told_in_a_readable_line(plugin: Plugin):
    ranges = [{"subnet": subnet, "gateway": "none"} for subnet in subnets(10_000)]
    one = plugin.config(ranges, exclude=["10.0.0.0/32", "10.0.0.2-10.255.255.255"])
    assert plugin.add(one, container_id="first").ok
    error = error_of(plugin.add(one, container_id="second"))
    assert error["code"] == EXHAUSTED and "no IP addresses available in range set" in error["msg"]
    none = error_of(plugin.add(plugin.config(ranges, exclude=["10.0.0.0/8"])))
    assert none["code"] == CONFIG and len(none["msg"]) < 500, none


def test_ten_thousand_exclusions_are_fast(plugin: Plugin):
    holes = [subnet.split("/")[0] for subnet in subnets(10_000, 31)]
    assert plugin.add(plugin.config([{"subnet": "10.0.0.0/8"}], exclude=holes)).ok


def test_a_hundred_thousand_keys_are_not_a_standstill(plugin: Plugin):
    many = {f"key-{number}": number for number in range(100_000)}
    answer = plugin.add({**plugin.config(), "prevResult": many})
    assert answer.ok or error_of(answer)["code"] == DECODE


# --- File descriptors ---------------------------------------------------------------------------


def test_a_closed_stdin_is_an_empty_configuration(plugin: Plugin, tmp_path: Path):
    out = tmp_path / "out"
    with out.open("wb") as file:

        def prepare() -> None:
            os.dup2(file.fileno(), 1)
            os.close(0)

        assert raw_spawn(prepare).wait(10) == 1
    assert json.loads(out.read_bytes())["code"] == DECODE


def test_a_directory_as_stdin_is_an_io_error(plugin: Plugin, tmp_path: Path):
    folder = os.open(tmp_path, os.O_RDONLY)
    done = subprocess.run(
        [places.podlease()],
        env=cni.environment("ADD", netns=NETNS),
        stdin=folder,
        capture_output=True,
        timeout=10,
    )
    os.close(folder)
    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == IO


def send(plugin: Plugin, verb: str, *, close: tuple[int, ...], out: Optional[str] = None) -> int:
    """Runs a verb with the descriptors closed, or stdout opened on a path; its exit status."""
    stdin = plugin.tmp / "stdin"
    stdin.write_text(json.dumps(plugin.config()))

    def prepare() -> None:
        os.dup2(os.open(stdin, os.O_RDONLY), 0)
        if out:
            os.dup2(os.open(out, os.O_RDWR), 1)
        for descriptor in close:
            os.close(descriptor)

    status = raw_spawn(prepare, verb).wait(10)
    stdin.unlink()
    return status


@pytest.mark.parametrize("close", [(1,), (2,), (1, 2), (0, 1, 2), (0, 2), (0, 1)])
def test_with_descriptors_closed_no_lease_is_lost_and_no_store_written_over(
    plugin: Plugin, close: tuple[int, ...]
):
    assert plugin.add(plugin.config(), container_id="other").ok
    status = send(plugin, "ADD", close=close)
    held = {lease["containerID"] for lease in plugin.leases()}
    assert (status, held) == ((0, {"other", "container-1"}) if close == (2,) else (1, {"other"}))
    check = ["sqlite3", plugin.data_dir / "podlease.db", "PRAGMA integrity_check"]
    assert subprocess.check_output(check) == b"ok\n"
    assert plugin.call("DEL", plugin.config()).ok


def test_del_needs_no_stdout(plugin: Plugin):
    assert plugin.add(plugin.config()).ok
    assert send(plugin, "DEL", close=(1, 2)) == 0
    assert plugin.leases() == []


def test_a_full_or_unread_stdout_leaves_no_lease(plugin: Plugin):
    assert send(plugin, "ADD", close=(), out="/dev/full") == 1
    assert plugin.leases() == []
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = cni.spawn(places.podlease(), "ADD", netns=NETNS)
    os.close(write_end)
    process.stdout.close()
    process.stdin.write(json.dumps(plugin.config()).encode())
    process.stdin.close()
    assert process.wait(10) == 1
    assert plugin.leases() == []


def test_a_log_that_is_a_pipe_nobody_reads_holds_nobody_up(plugin: Plugin):
    pipe = plugin.tmp / "pipe"
    os.mkfifo(pipe)
    config = plugin.config(log={"file": str(pipe)})
    assert plugin.add(config, timeout=10).ok
    assert plugin.call("DEL", config, timeout=10).ok


# --- Environment --------------------------------------------------------------------------------


def test_long_and_odd_environment_values_are_leased_and_ended(plugin: Plugin):
    odd = {
        "container_id": "c" * 100_000,
        "ifname": "\udcff\x01" + "i" * 13,
        "netns": "/run/netns/\udcff\n" + "n" * 100_000,
        "args": "K8S_POD_NAME=\udcff\n;K8S_POD_NAMESPACE=" + "p" * 100_000,
    }
    odd["ifname"] = odd["ifname"][:15]
    assert plugin.add(plugin.config(), **odd).addresses == ["10.1.0.2"]
    assert plugin.add(plugin.config(), **odd).addresses == ["10.1.0.2"]
    assert len(plugin.leases()) == 1
    error = error_of(plugin.add(plugin.config(), args="IP=10.1.0.2", container_id="second"))
    assert error["code"] == TAKEN
    assert plugin.call("DEL", plugin.config(), **odd).ok
    assert plugin.leases() == []


# --- Paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "/etc", ".hidden", "a\nb", "-x", "ä", "a b"])
def test_a_network_name_with_path_tricks_is_refused(plugin: Plugin, name: str):
    plugin.refuse({**plugin.config(), "name": name}, CONFIG, "name", "network name")


STORE_FILES = ["lock", "podlease.db", "podlease.db-wal", "stores", "n" * 300]


@pytest.mark.parametrize("name", STORE_FILES, ids=[*STORE_FILES[:4], "300 letters"])
@pytest.mark.parametrize("default_place", [True, False], ids=["default", "own"])
def test_a_network_may_be_called_like_a_file_of_the_store(
    plugin: Plugin, name: str, default_place: bool
):
    config = {**plugin.config(), "name": name}
    if default_place:
        del config["ipam"]["dataDir"]
    for container_id in ("first", "second"):
        assert plugin.add(config, container_id=container_id).ok
        assert plugin.call("CHECK", config, container_id=container_id).ok
        assert plugin.call("DEL", config, container_id=container_id).ok
        assert plugin.call("DEL", config, container_id=container_id).ok
    assert plugin.call("STATUS", config).ok


@pytest.mark.parametrize("path", ["leases", "./leases", "../leases", "~/leases"])
def test_a_relative_data_dir_is_refused(plugin: Plugin, path: str):
    plugin.refuse(plugin.config(dataDir=path), CONFIG, "ipam.dataDir", path)


def test_a_data_dir_that_cannot_be_one_is_an_io_error(plugin: Plugin):
    file = plugin.tmp / "file"
    file.write_text("mine")
    loop = plugin.tmp / "loop"
    loop.symlink_to(loop)
    for path in (file, file / "below", loop, plugin.tmp / ("n" * 300)):
        for verb in ("ADD", "STATUS"):
            error = error_of(plugin.call(verb, plugin.config(dataDir=str(path))))
            assert error["code"] == IO and str(path) in error["msg"], error
    assert file.read_text() == "mine"
    assert tree(plugin.tmp) == {str(file), str(loop)}


def test_a_data_dir_that_cannot_be_one_does_not_keep_a_del_from_its_lease(plugin: Plugin):
    file = plugin.tmp / "file"
    file.write_text("mine")
    loop = plugin.tmp / "loop"
    loop.symlink_to(loop)
    bad: list[Any] = [file, file / "below", loop, plugin.tmp / ("n" * 300), "relative", "", "/a\nb"]
    for number, path in enumerate([*bad, "/nul\0", "/absent"]):
        container_id = f"container-{number}"
        assert plugin.add(plugin.config(), container_id=container_id).ok
        config = plugin.config(dataDir=str(path))
        assert plugin.call("DEL", config, container_id=container_id).ok
        assert plugin.leases() == []
    assert file.read_text() == "mine"


def test_an_empty_data_dir_is_the_default_one(plugin: Plugin):
    assert plugin.add(plugin.config(dataDir="")).ok
    assert Path("/var/lib/podlease/podlease.db").exists()


def test_a_line_break_in_a_path_forges_no_line(plugin: Plugin):
    forged = f"{plugin.tmp}/a\n/etc"
    plugin.refuse(plugin.config(dataDir=forged), CONFIG, "ipam.dataDir", "a\\x0a/etc")
    plugin.refuse(plugin.config(resolvConf=forged), CONFIG, "ipam.resolvConf")


def test_an_unreadable_resolv_conf_leases_nothing(plugin: Plugin):
    for path in (plugin.tmp / "absent", plugin.tmp):
        plugin.refuse(plugin.config(resolvConf=str(path)), IO, str(path))


def test_a_misspelt_key_is_named_with_the_one_meant(plugin: Plugin):
    plugin.refuse(plugin.config(data_dir="/x"), CONFIG, "ipam", "data_dir", "dataDir")
    plugin.refuse(plugin.config(cooldwon="1s"), CONFIG, "ipam", "cooldwon", "cooldown")


def test_a_mode_of_another_version_is_unsupported(plugin: Plugin):
    plugin.refuse(plugin.config(mode="multi-pool"), UNSUPPORTED, "ipam.mode", "multi-pool")


# --- DEL of whatever ----------------------------------------------------------------------------

ANYTHING: dict[str, Text] = {
    "nothing": "",
    "no json": "\xff\x00",
    "cut short": '{"name": "net"',
    "a list": "[]",
    "nesting": "[" * 1_000_000,
    "wrong types": '{"cniVersion": 7, "name": [], "ipam": {"dataDir": 9, "ranges": 7}}',
    "another name": '{"cniVersion": "9.9.9", "name": "../net", "ipam": "x"}',
    "no ipam": '{"cniVersion": "1.1.0", "name": "net"}',
    "bad utf-8": b'{"name": "\xff", "ipam": {}}',
}


@pytest.mark.parametrize("text", ANYTHING.values(), ids=ANYTHING.keys())
def test_del_succeeds_whatever_the_configuration_says(plugin: Plugin, text: Text):
    assert plugin.add(plugin.config()).ok
    answer = plugin.call("DEL", text)
    assert (answer.status, answer.stdout) == (0, b"")
    assert plugin.leases() == []
