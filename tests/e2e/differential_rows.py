"""The table of test_differential.py: what is asked of host-local and of podlease, and INTENDED, the
differences that are meant."""

from typing import Any, Iterator, Optional

from lab.differential import EXHAUSTED, Config, Intended, Row, Step

VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
V4 = "10.81.0.0/24"
V6 = "fd00:81::/64"
OTHER_V4 = "10.82.0.0/24"
DEFAULT_ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


def conf(version: Optional[str] = "1.1.0", top: Optional[dict] = None, **ipam: Any) -> dict:
    """A network configuration named lab; `top` is what stands beside ipam."""
    head = {} if version is None else {"cniVersion": version}
    section = {"type": "host-local", "dataDir": "@/leases", **ipam}
    return {**head, "name": "lab", "type": "bridge", "ipam": section, **(top or {})}


def subnets(*texts: str) -> list[list[dict]]:
    """A range set for each subnet."""
    return [[{"subnet": text}] for text in texts]


def one(subnet: str, **more: Any) -> dict:
    """A configuration with one range."""
    return conf(ranges=[[{"subnet": subnet, **more}]])


def asking(
    *ranges: str, cni: Any = None, runtime: Any = None, version: str = "1.1.0", **top: Any
) -> dict:
    """A configuration that requests addresses by args.cni.ips and runtimeConfig.ips."""
    if cni is not None:
        top["args"] = {"cni": {"ips": cni}}
    if runtime is not None:
        top["runtimeConfig"] = {"ips": runtime}
    return conf(version, top, ranges=subnets(*(ranges or (V4,))))


def add(container: str = "c1", args: Optional[str] = None, **more: Any) -> Step:
    return Step("ADD", container, args=args, **more)


def delete(container: str = "c1", **more: Any) -> Step:
    return Step("DEL", container, **more)


def check(container: str = "c1", **more: Any) -> Step:
    return Step("CHECK", container, **more)


def gc(**more: Any) -> Step:
    return Step("GC", None, ifname=None, netns=None, **more)


def status(**more: Any) -> Step:
    return Step("STATUS", None, ifname=None, netns=None, **more)


def adds(count: int) -> tuple[Step, ...]:
    return tuple(add(f"c{number}") for number in range(1, count + 1))


def until_empty(count: int) -> tuple[Step, ...]:
    """As many ADDs as succeed, and one more."""
    return (*adds(count), add("last", code=100, says=EXHAUSTED))


def entry(container: str, ifname: Optional[str] = "eth0") -> str:
    """What a file of host-local holds."""
    return container if ifname is None else f"{container}\r\n{ifname}"


def taken(*addresses: str, cursor: Optional[str] = None) -> dict[str, str]:
    """A folder of host-local in which others hold these addresses."""
    files = {address: entry(f"other-{i}") for i, address in enumerate(addresses)}
    return files if cursor is None else {**files, "last_reserved_ip.0": cursor}


# Shapes of results.

FULL_ROUTE = {
    "dst": "10.99.0.0/16",
    "gw": "10.81.0.9",
    "mtu": 1400,
    "advmss": 1360,
    "priority": 50,
    "table": 100,
    "scope": 253,
}
RESOLV_CONF = "nameserver 10.0.0.53\nnameserver fd00::53\ndomain a.example\nsearch b.example c.d\n"

SHAPES: dict[str, dict] = {
    "v4": conf(ranges=subnets(V4)),
    "v6": conf(ranges=subnets(V6)),
    "dual": conf(ranges=subnets(V4, V6)),
    "dual-v6-first": conf(ranges=subnets(V6, V4)),
    "inline": conf(subnet=V4),
    "inline-gateway": conf(subnet=V4, gateway="10.81.0.254"),
    "default-routes": conf(ranges=subnets(V4, V6), routes=DEFAULT_ROUTES),
    "full-route": conf(ranges=subnets(V4), routes=[FULL_ROUTE]),
    "route-of-other-family": conf(ranges=subnets(V4), routes=[{"dst": "::/0", "gw": "fd00::1"}]),
    "no-routes": conf(ranges=subnets(V4), routes=[]),
    "dns": conf(ranges=subnets(V4, V6), resolvConf="@/resolv.conf"),
    "dns-empty": conf(ranges=subnets(V4), resolvConf="@/empty.conf"),
    "dns-and-routes": conf(subnet=V6, resolvConf="@/resolv.conf", routes=DEFAULT_ROUTES),
    "link-local-gateway": one(V6, gateway="fe80::1"),
}


def shapes() -> Iterator[Row]:
    for version in (*VERSIONS, "", None):
        has_check = version is not None and version >= "0.4.0"
        for name, config in SHAPES.items():
            config = {key: value for key, value in config.items() if key != "cniVersion"}
            if version is not None:
                config["cniVersion"] = version
            checks = [check(code=None if has_check else 1)]
            checks += [check(previous=True)] if has_check else []
            yield Row(
                f"shape/{name}/{'absent' if version is None else version or 'empty'}",
                config,
                (add(), *checks, delete(), delete()),
                files={"resolv.conf": RESOLV_CONF, "empty.conf": "# nothing\n"},
            )
    two_v4 = conf(ranges=subnets(V4, OTHER_V4))
    two_v6 = conf(ranges=subnets(V6, "fd00:82::/64"))
    for version in (*VERSIONS, "", None):
        old = not version or version < "0.3.0"
        for name, config in (("two-v4", two_v4), ("two-v6", two_v6)):
            yield Row(
                f"shape/{name}/{'absent' if version is None else version or 'empty'}",
                {**config, "cniVersion": version},
                (add(code=7 if old else None),),
            )


# Verbs and versions.


def verbs() -> Iterator[Row]:
    for version in VERSIONS:
        config = {**conf(ranges=subnets(V4)), "cniVersion": version}
        new = version == "1.1.0"
        code = None if new else 1
        yield Row(f"verb/status/{version}", config, (status(code=code),))
        yield Row(
            f"verb/gc/{version}",
            {**config, "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]},
            (add(), gc(code=code), check(code=None if version >= "0.4.0" else 1)),
        )
        yield Row(f"verb/version/{version}", config, (Step("VERSION"),))
    for name, stdin in {
        "empty": "",
        "not-json": "{",
        "only-version": '{"cniVersion":"1.1.0"}',
        "unknown-version": '{"cniVersion":"9.9.9"}',
        "no-name": '{"cniVersion":"1.0.0","type":"x"}',
    }.items():
        call = Step("VERSION", None, ifname=None, netns=None, path=None)
        yield Row(f"verb/version/stdin-{name}", stdin, (call,))
    unknown = ["1.2.0", "0.5.0", "0.4.1", "2.0.0", "1.1", "1", "v1.0.0", " 1.0.0", "1.0.0 ", "x"]
    for version in unknown:
        config = conf(version, ranges=subnets(V4))
        name = version.strip() + ("-spaced" if version != version.strip() else "")
        name += "-front" if version.startswith(" ") else ""
        for call in (add(code=1), check(code=1), gc(code=1), status(code=1)):
            yield Row(f"unknown-version/{call.verb.lower()}/{name}", config, (call,))
        yield Row(f"unknown-version/del/{name}", config, (delete(),))
    for name in ("add", "Add", "ADD ", "FOO", "UPDATE"):
        yield Row(f"verb/unknown/{name.replace(' ', '-')}", conf(subnet=V4), (Step(name, code=4),))
    yield Row("verb/status/without-ipam", {"cniVersion": "1.1.0", "name": "lab"}, (status(code=7),))
    yield Row("verb/gc/without-ipam", {"cniVersion": "1.1.0", "name": "lab"}, (gc(),))
    yield Row("verb/status/held", conf(ranges=subnets(V4)), (add(), status(), delete(), status()))
    yield Row("verb/status/full", one("10.81.0.0/30"), (add(), status()))
    yield Row(
        "verb/status/full-and-told-to-say",
        conf(ranges=subnets("10.81.0.0/30"), statusFailsWhenExhausted=True),
        (add(), status(code=50)),
    )
    yield Row(
        "verb/status/data-dir-is-a-file",
        conf(ranges=subnets(V4), dataDir="@/file"),
        (status(code=5),),
        files={"file": ""},
    )
    yield Row("verb/status/twice", conf(ranges=subnets(V4)), (status(), status(), add()))


def collections() -> Iterator[Row]:
    """GC: host-local takes the verb and does nothing."""
    config = conf(ranges=subnets(V4, V6))
    mine = {"containerID": "c1", "ifname": "eth0"}
    attachments: dict[str, dict] = {
        "absent": {},
        "null": {"cni.dev/valid-attachments": None},
        "none": {"cni.dev/valid-attachments": []},
        "one": {"cni.dev/valid-attachments": [mine]},
        "other-ifname": {"cni.dev/valid-attachments": [{**mine, "ifname": "net1"}]},
        "old-key-none": {"cni.dev/attachments": []},
        "old-key-one": {"cni.dev/attachments": [mine]},
        "both-keys": {"cni.dev/valid-attachments": [mine], "cni.dev/attachments": []},
        "extra-keys": {"cni.dev/valid-attachments": [{**mine, "more": 1}]},
    }
    for name, keys in attachments.items():
        calls = (gc(config={**config, **keys}), check("c1"), check("c2"))
        yield Row(f"gc/alive/{name}", config, (add("c1"), add("c2"), *calls))
    for name, keys in attachments.items():
        keeps = name == "absent"
        mine_too = keeps or name in ("one", "old-key-one", "both-keys", "extra-keys")
        yield Row(
            f"gc/{'gone' if keeps else 'gone-one-left' if mine_too else 'gone-none-left'}/{name}",
            config,
            (
                add("c1", netns="gone"),
                add("c2", netns="gone"),
                gc(config={**config, **keys}),
                check("c1", code=None if mine_too else 3),
                check("c2", code=None if keeps else 3),
            ),
        )
    for name, value in {
        "text": "c1",
        "object": {},
        "numbers": [1],
        "without-ifname": [{"containerID": "c1"}],
        "without-id": [{"ifname": "eth0"}],
        "null-inside": [None],
    }.items():
        yield Row(
            f"gc/malformed/{name}",
            {**config, "cni.dev/valid-attachments": value},
            (add(), gc(code=7), check()),
        )
    yield Row("gc/never-used", {**config, "cni.dev/valid-attachments": []}, (gc(), add()))
    yield Row(
        "gc/other-network",
        config,
        (
            add("c1", netns="gone"),
            gc(config={**config, "name": "other", "cni.dev/valid-attachments": []}),
            check("c1"),
        ),
    )


# Ranges.


def ranges() -> Iterator[Row]:
    good: dict[str, tuple[Config, int]] = {
        "30": (one("10.81.0.0/30"), 1),
        "29": (one("10.81.0.0/29"), 5),
        "v6-126": (one("fd00:81::/126"), 2),
        "v6-125": (one("fd00:81::/125"), 6),
        "start": (one(V4, rangeStart="10.81.0.250"), 5),
        "end": (one(V4, rangeEnd="10.81.0.4"), 3),
        "start-end": (one(V4, rangeStart="10.81.0.9", rangeEnd="10.81.0.11"), 3),
        "start-is-end": (one(V4, rangeStart="10.81.0.9", rangeEnd="10.81.0.9"), 1),
        "start-is-network": (one(V4, rangeStart="10.81.0.0", rangeEnd="10.81.0.3"), 3),
        "start-and-end-are-network": (one(V4, rangeStart="10.81.0.0", rangeEnd="10.81.0.0"), 1),
        "end-is-broadcast": (one(V4, rangeStart="10.81.0.253", rangeEnd="10.81.0.255"), 3),
        "only-broadcast": (one(V4, rangeStart="10.81.0.255", rangeEnd="10.81.0.255"), 1),
        "start-is-gateway": (one(V4, rangeStart="10.81.0.1", rangeEnd="10.81.0.3"), 2),
        "end-is-gateway": (one(V4, gateway="10.81.0.4", rangeEnd="10.81.0.4"), 3),
        "start-v6": (one(V6, rangeStart="fd00:81::10", rangeEnd="fd00:81::12"), 3),
        "start-is-network-v6": (one(V6, rangeStart="fd00:81::", rangeEnd="fd00:81::2"), 2),
        "end-is-last-v6": (
            one(
                V6,
                rangeStart="fd00:81::ffff:ffff:ffff:fffe",
                rangeEnd="fd00:81::ffff:ffff:ffff:ffff",
            ),
            2,
        ),
        "last-of-all-v4": (one("255.255.255.248/29"), 5),
        "around-a-boundary": (
            one("10.81.0.0/16", rangeStart="10.81.0.254", rangeEnd="10.81.1.1"),
            4,
        ),
        "around-a-boundary-v6": (one(V6, rangeStart="fd00:81::fffe", rangeEnd="fd00:81::1:1"), 4),
        "gateway-last": (one("10.81.0.0/29", gateway="10.81.0.6"), 5),
        "gateway-middle": (one("10.81.0.0/29", gateway="10.81.0.3"), 5),
        "gateway-outside": (one("10.81.0.0/29", gateway="10.99.0.1"), 6),
        "gateway-is-network": (one("10.81.0.0/29", gateway="10.81.0.0"), 6),
        "gateway-is-broadcast": (one("10.81.0.0/29", gateway="10.81.0.7"), 6),
        "gateway-zero": (one("10.81.0.0/29", gateway="0.0.0.0"), 6),
        "gateway-mapped": (one("10.81.0.0/29", gateway="::ffff:10.81.0.6"), 5),
        "gateway-link-local": (one("fd00:81::/126", gateway="fe80::1"), 3),
        "gateway-upper-case": (one("fd00:81::/126", gateway="FD00:81:0:0::3"), 2),
        "empty-texts": (one("10.81.0.0/30", rangeStart="", rangeEnd="", gateway=""), 1),
        "nulls": (one("10.81.0.0/30", rangeStart=None, rangeEnd=None, gateway=None), 1),
        "mapped-bounds": (one(V4, rangeStart="::ffff:10.81.0.9", rangeEnd="::ffff:a51:b"), 3),
        "upper-case-v6": (one("FD00:81:0000::/125"), 6),
        "not-canonical-v6": (one("fd00:81:0:0:0:0::/125", rangeStart="fd00:0081::2"), 6),
        "embedded-v4-in-v6": (one("64:ff9b::10.81.0.0/125"), 6),
        "two-ranges": (conf(ranges=[[{"subnet": "10.81.0.0/30"}, {"subnet": "10.82.0.0/29"}]]), 6),
        "three-ranges": (
            conf(
                ranges=[
                    [
                        {"subnet": "10.83.0.0/30"},
                        {"subnet": "10.81.0.0/30"},
                        {"subnet": "10.82.0.0/30"},
                    ]
                ]
            ),
            3,
        ),
        "two-ranges-v6": (
            conf(ranges=[[{"subnet": "fd00:82::/126"}, {"subnet": "fd00:81::/126"}]]),
            4,
        ),
        "ranges-of-one-subnet": (
            conf(
                ranges=[
                    [
                        {"subnet": V4, "rangeStart": "10.81.0.20", "rangeEnd": "10.81.0.21"},
                        {"subnet": V4, "rangeStart": "10.81.0.10", "rangeEnd": "10.81.0.11"},
                    ]
                ]
            ),
            4,
        ),
        "adjacent-ranges": (
            conf(
                ranges=[
                    [
                        {"subnet": V4, "rangeStart": "10.81.0.12", "rangeEnd": "10.81.0.13"},
                        {"subnet": V4, "rangeStart": "10.81.0.10", "rangeEnd": "10.81.0.11"},
                    ]
                ]
            ),
            4,
        ),
        "sets-of-one-subnet": (
            conf(
                ranges=[
                    [{"subnet": V4, "rangeStart": "10.81.0.20", "rangeEnd": "10.81.0.22"}],
                    [{"subnet": V4, "rangeStart": "10.81.0.10", "rangeEnd": "10.81.0.11"}],
                ]
            ),
            2,
        ),
        "range-inside-subnet-of-other": (
            conf(
                ranges=[
                    [
                        {
                            "subnet": "10.81.0.0/16",
                            "rangeStart": "10.81.9.1",
                            "rangeEnd": "10.81.9.2",
                        }
                    ],
                    [{"subnet": "10.81.8.0/30"}],
                ]
            ),
            1,
        ),
        "dual": (conf(ranges=subnets("10.81.0.0/29", "fd00:81::/126")), 2),
        "dual-v4-empties": (conf(ranges=subnets("10.81.0.0/30", V6)), 1),
        "dual-v6-first-empties": (conf(ranges=subnets("fd00:81::/126", V4)), 2),
        "three-sets": (conf(ranges=subnets("10.81.0.0/29", "10.82.0.0/29", "fd00:81::/125")), 5),
        "inline": (conf(subnet="10.81.0.0/30"), 1),
        "inline-all": (
            conf(subnet=V4, rangeStart="10.81.0.7", rangeEnd="10.81.0.8", gateway="10.81.0.7"),
            1,
        ),
        "inline-and-ranges": (conf(subnet="10.81.0.0/29", ranges=subnets("10.82.0.0/29")), 5),
        "inline-v6-and-ranges": (conf(subnet="fd00:81::/126", ranges=subnets("10.82.0.0/29")), 2),
        "inline-bounds-without-subnet": (
            conf(
                rangeStart="10.9.0.5",
                rangeEnd="10.9.0.6",
                gateway="10.9.0.7",
                ranges=subnets("10.82.0.0/30"),
            ),
            1,
        ),
        "runtime-ranges": (conf(top={"runtimeConfig": {"ipRanges": subnets("10.81.0.0/30")}}), 1),
        "runtime-ranges-first": (
            conf(
                top={"runtimeConfig": {"ipRanges": subnets("10.83.0.0/29")}},
                subnet="10.81.0.0/29",
                ranges=subnets("10.82.0.0/29"),
            ),
            5,
        ),
        "runtime-ranges-null": (
            conf(top={"runtimeConfig": {"ipRanges": None}}, subnet="10.81.0.0/30"),
            1,
        ),
        "runtime-ranges-none": (
            conf(top={"runtimeConfig": {"ipRanges": []}}, subnet="10.81.0.0/30"),
            1,
        ),
        "runtime-config-null": (conf(top={"runtimeConfig": None}, subnet="10.81.0.0/30"), 1),
        "ranges-null": (conf(subnet="10.81.0.0/30", ranges=None), 1),
        "ranges-none": (conf(subnet="10.81.0.0/30", ranges=[]), 1),
    }
    for name, (config, count) in good.items():
        yield Row(f"range/{name}", config, until_empty(count))
    # Too large to empty.
    for name, text in {
        "2-v4": "128.0.0.0/2",
        "8": "10.0.0.0/8",
        "2-v6": "8000::/2",
        "48-v6": "fd00:81::/48",
        "link-local-v6": "fe80::/64",
    }.items():
        yield Row(f"range/wide/{name}", one(text), adds(3))
    # Nothing is left to lease: both refuse, podlease as a configuration that cannot work.
    only_gateway = {"rangeStart": "10.81.0.1", "rangeEnd": "10.81.0.1"}
    yield Row("range/only-gateway", one(V4, **only_gateway), (add(code=7),))
    yield Row("range/only-given-gateway", one(V4, gateway="10.81.0.1", **only_gateway), (add(code=7),))


# Configurations that are refused: by name, the configuration and podlease's code.

GOOD_TEXT = (
    '{"cniVersion":"1.1.0","name":"lab","ipam":{"dataDir":"@/leases","ranges":'
    '[[{"subnet":"10.81.0.0/24"}]]}}'
)

BAD: dict[str, tuple[Config, int]] = {
    # Not JSON, or not an object.
    "json/empty": ("", 6),
    "json/space": (" \n", 6),
    "json/word": ("nonsense", 6),
    "json/cut-off": (GOOD_TEXT[:-1], 6),
    "json/trailing": (GOOD_TEXT + "x", 6),
    "json/two": (GOOD_TEXT * 2, 6),
    "json/comma": (GOOD_TEXT[:-1] + ",}", 6),
    "json/comment": ("// c\n" + GOOD_TEXT, 6),
    "json/single-quotes": (GOOD_TEXT.replace('"', "'"), 6),
    "json/list": ("[]", 6),
    "json/text": ('"lab"', 6),
    "json/number": ("5", 6),
    "json/true": ("true", 6),
    "json/null": ("null", 6),
    "json/control-character": (GOOD_TEXT.replace("lab", "l\tab"), 6),
    "json/nul": (b"\0" + GOOD_TEXT.encode(), 6),
    "json/nan": (GOOD_TEXT[:-1] + ',"x":NaN}', 6),
    "json/bad-escape": (GOOD_TEXT.replace("lab", "l\\ab"), 6),
    "json/deep": ('{"x":' + "[" * 10_001 + "]" * 10_001 + "}", 6),
    # The head.
    "head/no-name": ({"cniVersion": "1.1.0", "ipam": {"subnet": V4}}, 7),
    "head/name-null": ({**conf(subnet=V4), "name": None}, 7),
    "head/name-empty": ({**conf(subnet=V4), "name": ""}, 7),
    "head/name-number": ({**conf(subnet=V4), "name": 5}, 7),
    "head/name-list": ({**conf(subnet=V4), "name": ["lab"]}, 7),
    "head/name-space": ({**conf(subnet=V4), "name": "l ab"}, 7),
    "head/name-slash": ({**conf(subnet=V4), "name": "../lab"}, 7),
    "head/name-dots": ({**conf(subnet=V4), "name": ".."}, 7),
    "head/name-dash-first": ({**conf(subnet=V4), "name": "-lab"}, 7),
    "head/name-underscore-first": ({**conf(subnet=V4), "name": "_lab"}, 7),
    "head/name-line": ({**conf(subnet=V4), "name": "lab\n"}, 7),
    "head/name-umlaut": ({**conf(subnet=V4), "name": "läb"}, 7),
    "head/version-number": ({**conf(subnet=V4), "cniVersion": 1.0}, 6),
    "head/version-list": ({**conf(subnet=V4), "cniVersion": ["1.0.0"]}, 6),
    # ipam; "nowhere" are those that do not tell where the leases are.
    "nowhere/ipam-absent": ({"cniVersion": "1.1.0", "name": "lab"}, 7),
    "nowhere/ipam-null": ({"cniVersion": "1.1.0", "name": "lab", "ipam": None}, 7),
    "nowhere/ipam-text": ({"cniVersion": "1.1.0", "name": "lab", "ipam": "host-local"}, 7),
    "nowhere/ipam-list": ({"cniVersion": "1.1.0", "name": "lab", "ipam": []}, 7),
    "nowhere/ipam-number": ({"cniVersion": "1.1.0", "name": "lab", "ipam": 1}, 7),
    # Without the mode, podlease asks for the node's podCIDR.
    "ipam/no-range": (conf(mode="static"), 7),
    "ipam/ranges-none": (conf(mode="static", ranges=[]), 7),
    "ipam/ranges-null": (conf(mode="static", ranges=None), 7),
    "ipam/ranges-object": (conf(ranges={"subnet": V4}), 7),
    "ipam/ranges-text": (conf(ranges=V4), 7),
    "ipam/ranges-flat": (conf(ranges=[{"subnet": V4}]), 7),
    "ipam/ranges-of-texts": (conf(ranges=[[V4]]), 7),
    "ipam/ranges-of-numbers": (conf(ranges=[[1]]), 7),
    "ipam/set-empty": (conf(ranges=[[]]), 7),
    "ipam/set-empty-behind": (conf(ranges=[[{"subnet": V4}], []]), 7),
    "ipam/set-null": (conf(ranges=[None]), 7),
    "ipam/range-null": (conf(ranges=[[None]]), 7),
    "ipam/range-empty": (conf(ranges=[[{}]]), 7),
    "ipam/range-null-behind": (conf(ranges=[[{"subnet": V4}, None]]), 7),
    "nowhere/data-dir-number": (conf(ranges=subnets(V4), dataDir=1), 7),
    "nowhere/data-dir-list": (conf(ranges=subnets(V4), dataDir=["@/leases"]), 7),
    "ipam/type-number": (conf(ranges=subnets(V4), type=5), 7),
    "ipam/start-without-subnet": (conf(ranges=subnets(V4), rangeStart="x"), 7),
    "ipam/end-without-subnet": (conf(ranges=subnets(V4), rangeEnd="10.81.0.0/24"), 7),
    "ipam/gateway-without-subnet": (conf(ranges=subnets(V4), gateway=5), 7),
    "ipam/resolv-conf-number": (conf(ranges=subnets(V4), resolvConf=1), 7),
    "ipam/runtime-config-text": (conf(top={"runtimeConfig": "x"}, subnet=V4), 7),
    "ipam/runtime-config-list": (conf(top={"runtimeConfig": []}, subnet=V4), 7),
    "ipam/runtime-ranges-text": (conf(top={"runtimeConfig": {"ipRanges": V4}}, subnet=V4), 7),
    "ipam/runtime-ranges-flat": (
        conf(top={"runtimeConfig": {"ipRanges": [{"subnet": V4}]}}, subnet=OTHER_V4),
        7,
    ),
    "ipam/runtime-set-empty": (conf(top={"runtimeConfig": {"ipRanges": [[]]}}, subnet=V4), 7),
    "ipam/runtime-ips-text": (asking(runtime="10.81.0.5"), 7),
    "ipam/runtime-ips-object": (asking(runtime={}), 7),
    "ipam/args-text": (conf(top={"args": "x"}, subnet=V4), 7),
    "ipam/args-list": (conf(top={"args": []}, subnet=V4), 7),
    "ipam/args-cni-text": (conf(top={"args": {"cni": "x"}}, subnet=V4), 7),
    "ipam/args-ips-text": (asking(cni="10.81.0.5"), 7),
    "ipam/args-ips-numbers": (asking(cni=[5]), 7),
    # A subnet.
    **{
        f"subnet/{name}": (one(text), 7)
        for name, text in {
            "empty": "",
            "null": None,
            "number": 10,
            "list": ["10.81.0.0/24"],
            "object": {},
            "no-length": "10.81.0.0",
            "no-address": "/24",
            "slash": "/",
            "length-33": "10.81.0.0/33",
            "length-129": "fd00::/129",
            "length-negative": "10.81.0.0/-1",
            "length-plus": "10.81.0.0/+24",
            "length-empty": "10.81.0.0/",
            "length-mask": "10.81.0.0/255.255.255.0",
            "length-word": "10.81.0.0/x",
            "length-huge": "10.81.0.0/99999999999999999999",
            "length-two": "10.81.0.0/24/24",
            "space-before": " 10.81.0.0/24",
            "space-behind": "10.81.0.0/24 ",
            "leading-zero": "010.81.0.0/24",
            "leading-zeros": "10.081.0.0/24",
            "double-zero": "10.81.00.0/24",
            "hexadecimal": "0x0a.81.0.0/24",
            "octet-256": "10.256.0.0/24",
            "three-octets": "10.81.0/24",
            "five-octets": "10.81.0.0.0/24",
            "trailing-dot": "10.81.0.0./24",
            "word": "lab",
            "host-name": "localhost/24",
            "zone": "fe80::%eth0/64",
            "two-gaps": "fd00::81::/64",
            "nine-groups": "1:2:3:4:5:6:7:8:9/64",
            "long-group": "fd000::/64",
            "bad-group": "fg00::/64",
            "brackets": "[fd00::]/64",
            "host-bits": "10.81.0.1/24",
            "host-bits-30": "10.81.0.2/30",
            "host-bits-v6": "fd00:81::1/64",
            "31": "10.81.0.0/31",
            "32": "10.81.0.1/32",
            "127": "fd00:81::/127",
            "128": "fd00:81::1/128",
            "mapped": "::ffff:10.81.0.0/120",
            "mapped-wide": "::ffff:10.81.0.0/24",
            "mapped-hexadecimal": "::ffff:a51:0/120",
        }.items()
    },
    **{
        f"inline/{name}": (conf(subnet=text), 7)
        for name, text in {
            "empty": "",
            "number": 4,
            "host-bits": "10.81.0.7/24",
            "31": "10.81.0.0/31",
            "no-length": "10.81.0.0",
            "list": [V4],
        }.items()
    },
    # Bounds and gateways.
    **{
        f"{key}/{name}": (one(V4, **{key: text}), 7)
        for key in ("rangeStart", "rangeEnd", "gateway")
        for name, text in {
            "number": 5,
            "list": [],
            "word": "lab",
            "with-length": "10.81.0.5/24",
            "leading-zero": "10.81.0.05",
            "space": " 10.81.0.5",
            "zone": "fe80::1%eth0",
            "octet-256": "10.81.0.256",
        }.items()
    },
    **{
        f"{key}/{name}": (one(subnet, **{key: text}), 7)
        for key in ("rangeStart", "rangeEnd")
        for name, subnet, text in (
            ("outside", V4, "10.82.0.5"),
            ("other-family", V4, "fd00::5"),
            ("other-family-v6", V6, "10.81.0.5"),
            ("outside-v6", V6, "fd00:82::5"),
            ("mapped-in-v6", V6, "::ffff:10.81.0.5"),
        )
    },
    "bounds/reversed": (one(V4, rangeStart="10.81.0.9", rangeEnd="10.81.0.8"), 7),
    "bounds/reversed-v6": (one(V6, rangeStart="fd00:81::9", rangeEnd="fd00:81::8"), 7),
    "bounds/end-is-network": (one(V4, rangeEnd="10.81.0.0"), 7),
    "bounds/end-is-network-v6": (one(V6, rangeEnd="fd00:81::"), 7),
    # Overlaps.
    "overlap/same-set": (conf(ranges=[[{"subnet": V4}, {"subnet": V4}]]), 7),
    "overlap/same-set-part": (
        conf(ranges=[[{"subnet": V4}, {"subnet": "10.81.0.0/16", "rangeStart": "10.81.0.200"}]]),
        7,
    ),
    "overlap/same-set-one-address": (
        conf(
            ranges=[
                [{"subnet": V4, "rangeEnd": "10.81.0.9"}, {"subnet": V4, "rangeStart": "10.81.0.9"}]
            ]
        ),
        7,
    ),
    "overlap/sets": (conf(ranges=subnets(V4, V4)), 7),
    "overlap/sets-within": (conf(ranges=subnets("10.81.0.0/16", "10.81.7.0/24")), 7),
    "overlap/sets-around": (conf(ranges=subnets("10.81.7.0/24", "10.81.0.0/16")), 7),
    "overlap/sets-v6": (conf(ranges=subnets(V6, "fd00:81::/96")), 7),
    "overlap/third": (conf(ranges=subnets(V4, V6, V4)), 7),
    "overlap/inline-and-ranges": (conf(subnet=V4, rangeStart="10.81.0.5", ranges=subnets(V4)), 7),
    "overlap/runtime-and-inline": (
        conf(top={"runtimeConfig": {"ipRanges": subnets("10.81.0.0/16")}}, subnet=V4),
        7,
    ),
    "overlap/mixed-families-of-a-set": (conf(ranges=[[{"subnet": V4}, {"subnet": V6}]]), 7),
    "overlap/mixed-families-v6-first": (conf(ranges=[[{"subnet": V6}, {"subnet": V4}]]), 7),
    # Routes.
    **{
        f"route/{name}": (conf(ranges=subnets(V4), routes=value), 7)
        for name, value in {
            "object": {},
            "text": "0.0.0.0/0",
            "texts": ["0.0.0.0/0"],
            "dst-empty": [{"dst": ""}],
            "dst-null": [{"dst": None}],
            "dst-no-length": [{"dst": "10.0.0.0"}],
            "dst-word": [{"dst": "default"}],
            "dst-number": [{"dst": 0}],
            "dst-length-33": [{"dst": "10.0.0.0/33"}],
            "dst-leading-zero": [{"dst": "010.0.0.0/8"}],
            "gw-word": [{"dst": "0.0.0.0/0", "gw": "x"}],
            "gw-with-length": [{"dst": "0.0.0.0/0", "gw": "10.81.0.1/24"}],
            "gw-number": [{"dst": "0.0.0.0/0", "gw": 1}],
            "mtu-text": [{"dst": "0.0.0.0/0", "mtu": "1500"}],
            "mtu-fraction": [{"dst": "0.0.0.0/0", "mtu": 1500.5}],
            "mtu-point-zero": [{"dst": "0.0.0.0/0", "mtu": 1500.0}],
            "mtu-exponent-text": [{"dst": "0.0.0.0/0", "mtu": True}],
            "mtu-huge": [{"dst": "0.0.0.0/0", "mtu": 2**63}],
            "table-text": [{"dst": "0.0.0.0/0", "table": "main"}],
            "scope-text": [{"dst": "0.0.0.0/0", "scope": "link"}],
            "priority-list": [{"dst": "0.0.0.0/0", "priority": []}],
            "advmss-object": [{"dst": "0.0.0.0/0", "advmss": {}}],
        }.items()
    },
}


def refusals() -> Iterator[Row]:
    good = conf(ranges=subnets(V4))
    for name, (config, code) in BAD.items():
        group = "input" if name.startswith(("json/", "head/")) else "conf"
        group = "nowhere" if name.startswith("nowhere/") else group
        yield Row(
            f"bad-{group}/{name}", config, (add(code=code), check(code=code), status(code=code))
        )
        # With a lease from before the configuration was broken.
        yield Row(
            f"bad-{group}-then/{name}",
            good,
            (
                add(),
                check(code=None if group == "conf" else code, config=config),
                delete(config=config),
                check(code=3),
            ),
        )


# Accepted by one of the two only.


def judged_apart() -> Iterator[Row]:
    yield Row("stricter/length-leading-zero", one("10.81.0.0/024"), (add(code=7),))
    yield Row("stricter/length-leading-zero-v6", one("fd00:81::/064"), (add(code=7),))
    yield Row(
        "stricter/route-length-leading-zero",
        conf(subnet=V4, routes=[{"dst": "10.0.0.0/08"}]),
        (add(code=7),),
    )
    yield Row("stricter/gateway-v6-of-v4", one(V4, gateway="fd00::1"), (add(code=7),))
    yield Row("stricter/gateway-v4-of-v6", one(V6, gateway="10.81.0.1"), (add(code=7),))
    yield Row("stricter/gateway-mapped-of-v6", one(V6, gateway="::ffff:10.81.0.1"), (add(code=7),))
    for name, text in {
        "all-v4": "0.0.0.0/0",
        "half-v4": "128.0.0.0/1",
        "this-network": "0.81.0.0/16",
        "loopback": "127.81.0.0/16",
        "multicast": "224.0.0.0/4",
        "all-v6": "::/0",
        "low-v6": "::/120",
        "multicast-v6": "ff00::/8",
        "last-v6": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124",
    }.items():
        yield Row(f"stricter/special-{name}", one(text), (add(code=7),))
    yield Row("stricter/start-is-broadcast", one(V4, rangeStart="10.81.0.255"), (add(code=7),))
    for name, ipam in {
        "transposed": {"rnages": subnets(V4), "subnet": OTHER_V4},
        "underscore": {"range_start": "10.81.0.5", "subnet": V4},
        "one-letter": {"subnets": V4, "ranges": subnets(V4)},
        "go-struct": {"Range": {"subnet": OTHER_V4}, "subnet": V4},
    }.items():
        yield Row(f"stricter/typing-error-{name}", conf(**ipam), (add(code=7),))
    yield Row("stricter/typing-error-in-range", one(V4, rangestar="10.81.0.5"), (add(code=7),))
    for name, routes in {
        "without-dst": [{"gw": "10.81.0.1"}],
        "empty": [{}],
        "null": [None],
        "mapped-and-wide": [{"dst": "::ffff:10.0.0.0/95"}],
    }.items():
        yield Row(f"stricter/route-{name}", conf(subnet=V4, routes=routes), (add(code=7),))
    yield Row(
        "stricter/relative-data-dir",
        conf(subnet=V4, dataDir="relative/leases"),
        (add(code=7),),
        compare_leases=False,
    )
    for name, text in {
        "invalid-utf-8": GOOD_TEXT.encode()[:-1] + b',"x":"\xff"}',
        "lone-surrogate": GOOD_TEXT[:-1] + ',"x":"\\ud800"}',
        "lone-surrogate-in-key": GOOD_TEXT[:-1] + ',"\\udfff":1}',
    }.items():
        yield Row(f"stricter/{name}", text, (add(code=6),))
    yield Row(
        "stricter/bridge-without-gateway",
        {
            **conf(
                ranges=[
                    [{"subnet": "10.81.0.0/31", "rangeStart": "10.81.0.0", "rangeEnd": "10.81.0.1"}]
                ]
            ),
            "isGateway": True,
        },
        (add(code=7),),
    )

    tiny = {
        "31": ("10.81.0.0/31", "10.81.0.0", "10.81.0.1"),
        "32": ("10.81.0.7/32", "10.81.0.7", "10.81.0.7"),
        "127": ("fd00:81::/127", "fd00:81::", "fd00:81::1"),
        "128": ("fd00:81::7/128", "fd00:81::7", "fd00:81::7"),
    }
    for name, (subnet, start, end) in tiny.items():
        yield Row(
            f"kinder/tiny-{name}",
            one(subnet, rangeStart=start, rangeEnd=end),
            (add(gives=(start,)),),
        )
        for key, text in (("rangeStart", start), ("rangeEnd", end)):
            yield Row(f"range/tiny-{name}-only-{key}", one(subnet, **{key: text}), (add(code=7),))
    yield Row(
        "kinder/prefix-host",
        conf(subnet="10.81.0.0/31", prefix="host"),
        (add(gives=("10.81.0.0",)),),
    )
    yield Row("kinder/inline-subnet-null", conf(subnet=None, ranges=subnets(V4)), (add(),))
    yield Row("kinder/gateway-none", one(V4, gateway="none"), (add(gives=("10.81.0.1",)),))
    for name, config in {
        "runtime-and-ranges": conf(
            top={"runtimeConfig": {"ipRanges": subnets(V4)}}, ranges=subnets(V4)
        ),
        "runtime-and-inline": conf(top={"runtimeConfig": {"ipRanges": subnets(V4)}}, subnet=V4),
        "inline-and-ranges": conf(subnet=V4, ranges=subnets(V4)),
    }.items():
        yield Row(f"kinder/same-set-{name}", config, (add(gives=("10.81.0.2",)),))
    yield Row(
        "kinder/unknown-name-in-ipam",
        conf(ranges=subnets(V4), name=5),
        (add(gives=("10.81.0.2",)),),
    )
    yield Row("kinder/byte-order-mark", b"\xef\xbb\xbf" + GOOD_TEXT.encode(), (add(),))

    other = {"subnet": "10.82.0.0/30", "gateway": "10.81.0.2"}
    yield Row(
        "apart/gateway-of-other-range",
        conf(ranges=[[{"subnet": "10.81.0.0/30"}, other]]),
        (add(gives=("10.82.0.1",)),),
    )
    yield Row("apart/v4-compatible", one("::10.81.0.0/120"), (add(gives=("::a51:2",)),))

    # What podlease adds.
    yield Row(
        "more/exclude",
        conf(subnet=V4, exclude=["10.81.0.2-10.81.0.4"]),
        (add(gives=("10.81.0.5",)),),
    )
    yield Row(
        "more/families",
        conf(ranges=subnets(V4, V6), families=["ipv6"]),
        (add(gives=("fd00:81::2",)),),
    )
    yield Row("more/prefix-host", conf(subnet=V4, prefix="host"), (add(gives=("10.81.0.0",)),))


# Keys.


def keys() -> Iterator[Row]:
    base = {
        "cniVersion": "1.0.0",
        "name": "lab",
        "type": "bridge",
        "args": {"cni": {"ips": ["10.81.0.20"]}},
        "runtimeConfig": {"ips": ["10.82.0.20"], "ipRanges": [[{"subnet": "10.82.0.0/24"}]]},
        "ipam": {
            "type": "x",
            "dataDir": "@/leases",
            "resolvConf": "@/resolv.conf",
            "ranges": [
                [
                    {
                        "subnet": "10.81.0.0/24",
                        "rangeStart": "10.81.0.10",
                        "rangeEnd": "10.81.0.30",
                        "gateway": "10.81.0.254",
                    }
                ]
            ],
            "routes": [FULL_ROUTE],
        },
    }

    def renamed(value: Any, rename: Any) -> Any:
        if isinstance(value, dict):
            return {rename(key): renamed(item, rename) for key, item in value.items()}
        return [renamed(item, rename) for item in value] if isinstance(value, list) else value

    def swapped(text: str) -> str:
        return "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(text))

    def names(value: Any) -> Iterator[str]:
        for key in value if isinstance(value, dict) else ():
            yield key
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, (dict, list)):
                yield from names(item)

    steps = (add(), check(), delete())
    files = {"resolv.conf": RESOLV_CONF}
    for name, rename in (
        ("lower", str.lower),
        ("upper", str.upper),
        ("title", str.title),
        ("mixed", swapped),
    ):
        yield Row(f"key/case/{name}", renamed(base, rename), steps, files=files)
    for key in dict.fromkeys(names(base)):
        config = renamed(base, lambda name, key=key: name.upper() if name == key else name)
        yield Row(f"key/upper/{key}", config, steps, files=files)

    ranges_text = '"ranges":[[{"subnet":"10.81.0.0/24"}]]'
    later = '"ranges":[[{"subnet":"10.82.0.0/24"}]]'
    for name, text in {
        "same-key-twice": GOOD_TEXT.replace(ranges_text, f"{ranges_text},{later}"),
        "upper-later": GOOD_TEXT.replace(ranges_text, f"{ranges_text},{later.upper()}"),
        "upper-earlier": GOOD_TEXT.replace(ranges_text, f"{later.upper()},{ranges_text}"),
        "name-twice": GOOD_TEXT.replace('"name":"lab"', '"name":"other","name":"lab"'),
        "name-upper-later": GOOD_TEXT.replace('"name":"lab"', '"name":"lab","NAME":"other"'),
        "version-twice": GOOD_TEXT.replace(
            '"cniVersion":"1.1.0"', '"cniVersion":"1.1.0","cniversion":"0.4.0"'
        ),
        "null-later": GOOD_TEXT.replace(
            '"subnet":"10.81.0.0/24"',
            '"subnet":"10.81.0.0/24","rangeStart":"10.81.0.9",' '"rangestart":""',
        ),
        "escaped": GOOD_TEXT.replace("ranges", "\\u0072anges").replace("lab", "l\\u0061b"),
        "escaped-slash": GOOD_TEXT.replace("/24", "\\/24"),
        "unicode-unknown": GOOD_TEXT[:-1] + ',"größe":"😀\\ud83d\\ude00"}',
        "white-space": GOOD_TEXT.replace(":", " :\r\n\t ") + "\n\n",
        "same-objects-twice": GOOD_TEXT.replace(
            '"ipam":{', '"ipam":{"routes":[{"dst":"0.0.0.0/0"}]},"ipam":{'
        ),
        "object-then-null": GOOD_TEXT[:-1] + ',"args":{"cni":{"ips":["10.81.0.9"]}},"args":null}',
    }.items():
        yield Row(f"key/text/{name}", text, (add(), add("c2")))

    for name, config in {
        "top": {**conf(subnet=V4), "unknown": {"a": [1, None, "x"]}, "mtu": "x", "ipMasq": 7},
        "ipam": conf(subnet=V4, unknown=1, x=None, _comment="why"),
        "range": one(V4, comment="mine", vlan=7),
        "route": conf(subnet=V4, routes=[{"dst": "0.0.0.0/0", "comment": "x"}]),
        "args": conf(
            top={"args": {"org": {"x": 1}, "cni": {"labels": [], "ips": None}}}, subnet=V4
        ),
        "runtime-config": conf(
            top={"runtimeConfig": {"portMappings": [], "bandwidth": 5}}, subnet=V4
        ),
        "prev-result": {**conf(subnet=V4), "prevResult": {"ips": [{"address": "nonsense"}]}},
        "prev-result-text": {**conf(subnet=V4), "prevResult": "x"},
        "dns": {**conf(subnet=V4), "dns": {"nameservers": ["10.9.9.9"]}},
        "type-number": {**conf(subnet=V4), "type": 5},
        "capabilities": {**conf(subnet=V4), "capabilities": {"ips": True, "ipRanges": True}},
        "name-in-ipam": conf(subnet=V4, name="other"),
    }.items():
        yield Row(f"key/unknown/{name}", config, (add(), delete()))
    for name, config in {
        "args": conf(top={"args": None}, subnet=V4),
        "args-cni": conf(top={"args": {"cni": None}}, subnet=V4),
        "ips": asking(cni=[], runtime=[]),
        "type": conf(subnet=V4, type=None),
        "routes": conf(subnet=V4, routes=None),
        "data-dir": conf(subnet=V4, dataDir=None),
        "data-dir-empty": conf(subnet=V4, dataDir=""),
        "resolv-conf": conf(subnet=V4, resolvConf=None),
        "resolv-conf-empty": conf(subnet=V4, resolvConf=""),
        "version": {**conf(subnet=V4), "cniVersion": None},
        "prev-result": {**conf(subnet=V4), "prevResult": None},
        "route-fields": conf(
            subnet=V4,
            routes=[{"dst": "0.0.0.0/0", "gw": None, "mtu": None, "table": None, "scope": None}],
        ),
    }.items():
        yield Row(f"key/null/{name}", config, (add(), add("c2"), delete()))
    for name in ("a", "LAB", "0", "k8s-pod-network", "a.b", "a..", "a_b-c.d", "x" * 200):
        yield Row(
            f"name/{name[:20]}",
            {**conf(ranges=subnets(V4)), "name": name},
            (add(), check(), delete()),
        )
    yield Row(
        "name/two-networks",
        conf(ranges=subnets(V4)),
        (
            add(),
            add(config={**conf(ranges=subnets(V4)), "name": "other"}, gives=("10.81.0.3",)),
            delete(config={**conf(ranges=subnets(V4)), "name": "other"}),
            check(),
            add("c2", config={**conf(ranges=subnets(V4)), "name": "other"}, gives=("10.81.0.4",)),
        ),
    )


def routes() -> Iterator[Row]:
    for name, value in {
        "all-fields": [FULL_ROUTE],
        "order": [
            {"dst": "10.3.0.0/16"},
            {"dst": "10.1.0.0/16"},
            {"dst": "::/0"},
            {"dst": "10.2.0.0/16"},
        ],
        "twice": [{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0"}],
        "host": [{"dst": "10.0.0.1/32"}, {"dst": "fd00::1/128"}],
        "host-bits": [{"dst": "10.1.2.3/8"}, {"dst": "fd00::1/16"}],
        "gw-outside": [{"dst": "0.0.0.0/0", "gw": "192.0.2.1"}],
        "gw-other-family": [{"dst": "0.0.0.0/0", "gw": "fd00::1"}],
        "gw-empty": [{"dst": "0.0.0.0/0", "gw": ""}],
        "gw-upper-case": [{"dst": "FD00::/8", "gw": "FD00:0:0::1"}],
        "gw-mapped": [{"dst": "0.0.0.0/0", "gw": "::ffff:10.81.0.1"}],
        "dst-mapped": [{"dst": "::ffff:10.0.0.0/104"}, {"dst": "::ffff:0.0.0.0/96"}],
        "zeros": [
            {"dst": "0.0.0.0/0", "mtu": 0, "advmss": 0, "priority": 0, "table": 0, "scope": 0}
        ],
        "negative": [
            {"dst": "0.0.0.0/0", "mtu": -1, "advmss": -2, "priority": -3, "table": -4, "scope": -5}
        ],
        "large": [{"dst": "0.0.0.0/0", "mtu": 2**31, "table": 2**53, "priority": 2**40}],
        "huge": [{"dst": "0.0.0.0/0", "table": 2**63 - 1}],
        "mtu-only": [{"dst": "::/0", "mtu": 9000}],
        "table-only": [{"dst": "::/0", "table": 7}],
        "scope-only": [{"dst": "::/0", "scope": 200}],
        "many": [{"dst": f"10.{i}.0.0/16"} for i in range(64)],
    }.items():
        for version in ("1.1.0", "0.4.0", "0.2.0"):
            config = conf(version, ranges=subnets(V4, V6), routes=value)
            yield Row(f"route/{name}/{version}", config, (add(), delete()))


def resolv_confs() -> Iterator[Row]:
    for name, text in {
        "empty": "",
        "comments": "# nameserver 1.1.1.1\n; nameserver 2.2.2.2\n  # x y\n",
        "no-last-line-end": "nameserver 10.0.0.53",
        "crlf": "nameserver 10.0.0.53\r\nsearch a b\r\n",
        "tabs": "\tnameserver\t10.0.0.53\t\n",
        "many-spaces": "   nameserver    10.0.0.53   ",
        "several-words": "nameserver 10.0.0.53 10.0.0.54\n",
        "trailing-comment": "nameserver 10.0.0.53 # mine\nsearch a # b\n",
        "not-addresses": "nameserver resolver.example\nnameserver 999\n",
        "keyword-alone": "nameserver\ndomain\nsearch\noptions\n",
        "domain-twice": "domain a\ndomain b\n",
        "domain-words": "domain a b\n",
        "search-twice": "search a b\nsearch c\n",
        "options": "options ndots:5 timeout:1\noptions edns0\n",
        "only-options": "options ndots:5\n",
        "only-domain": "domain a\n",
        "unknown": "sortlist 10.0.0.0\nfamily inet4\nlookup file bind\n",
        "upper-case": "NAMESERVER 10.0.0.53\n",
        "prefix-of-keyword": "nameservers 10.0.0.53\n",
        "comment-without-space": "#nameserver 1.1.1.1\nnameserver #1\n",
        "blank-lines": "\n\n\nnameserver 10.0.0.53\n\n",
        "many": "".join(f"nameserver 10.0.0.{i}\n" for i in range(20)),
        "form-feed": "nameserver\f10.0.0.53\v\n",
        "unicode": "search bücher.example\n",
        "invalid-utf-8": b"search b\xfccher.example\n",
        "html": "search <a>&b\n",
        "quotes": 'search "a" \\b\n',
        "nul": "search a\0b\n",
    }.items():
        for version in ("1.0.0", "0.4.0"):
            config = conf(version, ranges=subnets(V4), resolvConf="@/resolv.conf")
            yield Row(f"dns/{name}/{version}", config, (add(),), files={"resolv.conf": text})
    yield Row(
        "dns/relative",
        conf(subnet=V4, resolvConf="resolv.conf"),
        (add(),),
        files={"resolv.conf": RESOLV_CONF},
    )
    yield Row("dns/absent", conf(subnet=V4, resolvConf="@/none"), (add(code=5), check(code=3)))
    yield Row("dns/folder", conf(subnet=V4, resolvConf="@/"), (add(code=5),))
    yield Row(
        "dns/absent-then-del",
        conf(subnet=V4, resolvConf="@/none"),
        (add(config=conf(subnet=V4)), check(), delete()),
    )
    yield Row(
        "dns/long-line",
        conf(subnet=V4, resolvConf="@/resolv.conf"),
        (add(),),
        files={"resolv.conf": "search " + "a" * 70_000 + "\n"},
    )
    for space, name in (
        ("\u00a0", "no-break-space"),
        ("\u0085", "next-line"),
        ("\u2003", "em-space"),
    ):
        yield Row(
            f"dns/unicode-space/{name}",
            conf(subnet=V4, resolvConf="@/resolv.conf"),
            (add(),),
            files={"resolv.conf": f"search a{space}b\n"},
        )


# Requested addresses.


def requests() -> Iterator[Row]:
    five = {
        "args": ("10.81.0.5", None, None),
        "cni": (None, ["10.81.0.5"], None),
        "runtime": (None, None, ["10.81.0.5"]),
    }
    for name, (env, cni_ips, runtime) in five.items():
        args = None if env is None else f"IP={env}"
        config = asking(cni=cni_ips, runtime=runtime)
        yield Row(
            f"request/from/{name}",
            config,
            (add(args=args), check(), delete(), add("c2", args=args)),
        )
        for version in VERSIONS:
            yield Row(
                f"request/version/{name}/{version}",
                asking(cni=cni_ips, runtime=runtime, version=version),
                (add(args=args),),
            )

    def single(name: str, text: Any, code: Optional[int] = None, *ranges: str) -> Iterator[Row]:
        """The text by each of the three ways."""
        yield Row(f"request/{name}/cni", asking(*ranges, cni=[text]), (add(code=code),))
        yield Row(f"request/{name}/runtime", asking(*ranges, runtime=[text]), (add(code=code),))
        if isinstance(text, str):
            args_code = 4 if code == 7 and name.startswith("bad-text") else code
            yield Row(
                f"request/{name}/args", asking(*ranges), (add(args=f"IP={text}", code=args_code),)
            )

    for name, text in {
        "with-length": "10.81.0.5/24",
        "other-length": "10.81.0.5/32",
        "length-0": "10.81.0.5/0",
        "mapped": "::ffff:10.81.0.5",
        "mapped-hexadecimal": "::FFFF:a51:5",
        "mapped-with-length": "::ffff:10.81.0.5/120",
        "first": "10.81.0.2",
        "last": "10.81.0.254",
    }.items():
        yield from single(f"good/{name}", text)
    for name, text in {
        "v6": "fd00:81::5",
        "v6-long": "FD00:0081:0:0::5",
        "v6-with-length": "fd00:81::5/64",
    }.items():
        yield from single(f"good/{name}", text, None, V4, V6)
    for name, text in {
        "gateway": "10.81.0.1",
        "network": "10.81.0.0",
        "broadcast": "10.81.0.255",
        "outside": "10.99.0.5",
        "other-family": "fd00::5",
        "zero": "0.0.0.0",
    }.items():
        yield from single(f"refused/{name}", text, 7)
    for name, text in {
        "word": "lab",
        "leading-zero": "10.81.0.05",
        "space": " 10.81.0.5",
        "octet": "10.81.0.256",
        "zone": "fe80::5%eth0",
        "short": "10.81.5",
        "slash": "10.81.0.5/",
        "length": "10.81.0.5/33",
        "length-word": "10.81.0.5/x",
        "length-two": "10.81.0.5/24/24",
        "length-negative": "10.81.0.5/-1",
        "list": "10.81.0.5,10.81.0.6",
    }.items():
        yield from single(f"bad-text/{name}", text, 7)
    yield from single("bad-type/number", 5, 7)
    yield from single("bad-type/null", None, 7)
    yield from single("bad-type/list", ["10.81.0.5"], 7)
    yield Row("request/empty/args", asking(), (add(args="IP="),))
    yield Row("request/empty/cni", asking(cni=[""]), (add(code=7),))
    yield Row("request/empty/runtime", asking(runtime=[""]), (add(code=7),))
    yield Row("stricter/request-length-leading-zero", asking(cni=["10.81.0.5/024"]), (add(code=7),))

    a, b, other = "10.81.0.5", "10.81.0.6", "10.82.0.7"
    v6 = "fd00:81::9"
    for name, config, args, code in (
        ("same-twice", asking(cni=[a, a]), None, None),
        ("same-from-all", asking(cni=[a], runtime=[a]), a, None),
        (
            "same-spelled-apart",
            asking(cni=[a, "::ffff:10.81.0.5"], runtime=["10.81.0.5/8"]),
            a,
            None,
        ),
        ("two-of-one-set", asking(cni=[a, b]), None, 7),
        ("two-of-one-set-apart", asking(cni=[a], runtime=[b]), None, 7),
        ("two-of-one-set-args", asking(cni=[a]), b, 7),
        ("one-of-each-set", asking(V4, OTHER_V4, cni=[a, other]), None, None),
        ("one-of-each-set-turned", asking(V4, OTHER_V4, cni=[other, a]), None, None),
        ("one-of-each-family", asking(V4, V6, cni=[v6], runtime=[a]), None, None),
        ("only-second-set", asking(V4, OTHER_V4, runtime=[other]), None, None),
        ("only-v6", asking(V4, V6), v6, None),
        ("three-sources-three-sets", asking(V4, OTHER_V4, V6, cni=[other], runtime=[v6]), a, None),
        ("one-left-over", asking(V4, V6, cni=[a, v6, "10.99.0.1"]), None, 7),
        ("first-set-gateway", asking(V4, V6, cni=["10.81.0.1", v6]), None, 7),
        ("second-set-gateway", asking(V4, V6, cni=[a, "fd00:81::1"]), None, 7),
        ("args-do-not-shadow", asking(V4, V6, cni=[v6]), a, None),
    ):
        yield Row(f"request/many/{name}", config, (add(args=args and f"IP={args}", code=code),))
    yield Row(
        "request/second-range",
        {
            **conf(ranges=[[{"subnet": "10.83.0.0/30"}, {"subnet": OTHER_V4}, {"subnet": V4}]]),
            "args": {"cni": {"ips": ["10.81.0.77"]}},
        },
        (add(), check()),
    )
    yield Row(
        "request/runtime-range",
        conf(
            top={"runtimeConfig": {"ipRanges": subnets(V4), "ips": ["10.81.0.9"]}},
            ranges=subnets(V6),
        ),
        (add(),),
    )
    yield Row(
        "request/outside-bounds",
        {
            **one(V4, rangeStart="10.81.0.10", rangeEnd="10.81.0.20"),
            "args": {"cni": {"ips": ["10.81.0.9"]}},
        },
        (add(code=7),),
    )
    yield Row(
        "request/explicit-broadcast",
        {**one(V4, rangeEnd="10.81.0.255"), "args": {"cni": {"ips": ["10.81.0.255"]}}},
        (add(),),
    )
    yield Row(
        "request/explicit-network",
        {**one(V4, rangeStart="10.81.0.0"), "args": {"cni": {"ips": ["10.81.0.0"]}}},
        (add(),),
    )
    yield Row(
        "request/explicit-gateway",
        {**one(V4, gateway="10.81.0.9"), "args": {"cni": {"ips": ["10.81.0.9"]}}},
        (add(code=7),),
    )
    yield Row(
        "request/default-gateway-freed",
        {**one(V4, gateway="10.81.0.9"), "args": {"cni": {"ips": ["10.81.0.1"]}}},
        (add(),),
    )
    yield Row(
        "request/taken",
        conf(ranges=subnets(V4)),
        (add(), add("c2", args="IP=10.81.0.2", code=101), add("c3")),
    )
    yield Row(
        "request/taken-second-set",
        conf(ranges=subnets(V4, V6)),
        (add(), add("c2", args="IP=fd00:81::2", code=101), add("c3", args="IP=10.81.0.3")),
    )
    yield Row(
        "request/taken-by-a-prior",
        conf(ranges=subnets(V4)),
        (add(args="IP=10.81.0.9", code=101), add("c2")),
        prior=taken("10.81.0.9"),
    )
    yield Row(
        "request/freed", conf(ranges=subnets(V4)), (add(), delete(), add("c2", args="IP=10.81.0.2"))
    )
    yield Row(
        "request/own-again",
        conf(ranges=subnets(V4)),
        (add(args="IP=10.81.0.9"), add(args="IP=10.81.0.9", gives=("10.81.0.9",))),
    )
    yield Row(
        "request/another-under-a-live-key",
        conf(ranges=subnets(V4)),
        (add(args="IP=10.81.0.9"), add(args="IP=10.81.0.10", code=101)),
    )
    yield Row(
        "request/then-cursor",
        conf(ranges=subnets(V4)),
        (add(), add("c2", args="IP=10.81.0.50"), add("c3", gives=("10.81.0.3",))),
    )
    yield Row(
        "request/then-full",
        one("10.81.0.0/30"),
        (add(args="IP=10.81.0.2"), add("c2", code=100, says=EXHAUSTED)),
    )
    yield Row(
        "request/full-and-taken",
        one("10.81.0.0/30"),
        (add(), add("c2", args="IP=10.81.0.2", code=101)),
    )


# CNI_ARGS.


def cni_args() -> Iterator[Row]:
    for name, text, code in (
        ("unknown", "FOO=bar", 4),
        ("unknown-ignored", "IgnoreUnknown=1;FOO=bar", None),
        ("unknown-ignored-behind", "FOO=bar;IgnoreUnknown=1", None),
        ("unknown-true", "IgnoreUnknown=true;FOO=bar", None),
        ("unknown-True", "IgnoreUnknown=True;FOO=bar", None),
        ("unknown-TRUE", "IgnoreUnknown=TRUE;FOO=bar", None),
        ("unknown-tRuE", "IgnoreUnknown=tRuE;FOO=bar", None),
        ("unknown-0", "IgnoreUnknown=0;FOO=bar", 4),
        ("unknown-false", "IgnoreUnknown=False;FOO=bar", 4),
        ("unknown-yes", "IgnoreUnknown=yes", 4),
        ("unknown-empty", "IgnoreUnknown=", 4),
        ("unknown-2", "IgnoreUnknown=2", 4),
        ("unknown-space", "IgnoreUnknown=1 ;FOO=bar", 4),
        ("unknown-twice", "IgnoreUnknown=1;IgnoreUnknown=0;FOO=bar", 4),
        ("unknown-twice-turned", "IgnoreUnknown=0;IgnoreUnknown=1;FOO=bar", None),
        ("lower-case-flag", "ignoreunknown=1", 4),
        ("lower-case-ip", "ip=10.81.0.5", 4),
        ("lower-case-ip-ignored", "IgnoreUnknown=1;ip=10.81.0.5", None),
        ("no-equals", "FOO", 4),
        ("no-equals-ignored", "IgnoreUnknown=1;FOO", 4),
        ("two-equals", "IgnoreUnknown=1;FOO=a=b", 4),
        ("two-equals-ip", "IP=10.81.0.5=", 4),
        ("semicolon", ";", 4),
        ("trailing-semicolon", "IP=10.81.0.5;", 4),
        ("leading-semicolon", ";IP=10.81.0.5", 4),
        ("space", " ", 4),
        ("space-behind-semicolon", "IgnoreUnknown=1; IP=10.81.0.5", None),
        ("no-key", "=x", 4),
        ("no-key-ignored", "IgnoreUnknown=1;=x", None),
        ("no-value-ignored", "IgnoreUnknown=1;FOO=", None),
        ("ip-twice", "IP=10.81.0.5;IP=10.81.0.6", None),
        ("ip-then-empty", "IP=10.81.0.5;IP=", None),
        ("ip-then-bad", "IP=10.81.0.5;IP=x", 4),
        ("ip-bad-then-good", "IP=x;IP=10.81.0.5", None),
        ("ip-list", "IP=10.81.0.5,10.81.0.6", 4),
        ("gateway-key", "IgnoreUnknown=1;GATEWAY=10.81.0.9", None),
        ("unicode", "IgnoreUnknown=1;NAME=größe", None),
        (
            "kubernetes",
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=n;K8S_POD_NAME=p;"
            "K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u",
            None,
        ),
        ("kubernetes-strict", "K8S_POD_NAMESPACE=n;K8S_POD_NAME=p;K8S_POD_UID=u", None),
        ("kubernetes-and-unknown", "K8S_POD_NAME=p;FOO=bar", 4),
        ("go-field", "IgnoreUnknown=1;CommonArgs=x", None),
    ):
        yield Row(f"args/{name}", conf(ranges=subnets(V4)), (add(args=text, code=code),))
    for name, text in {"bad-pair": "FOO", "unknown": "FOO=bar", "bad-ip": "IP=x"}.items():
        yield Row(
            f"args-del/{name}", conf(ranges=subnets(V4)), (add(), delete(args=text), check(code=3))
        )
    for name, text in {
        "ignored": "IgnoreUnknown=1;FOO=x",
        "ip": "IP=10.81.0.77",
        "empty": "",
    }.items():
        yield Row(
            f"args-fine/{name}",
            conf(ranges=subnets(V4)),
            (add(), check(args=text), delete(args=text), check(args=text, code=3)),
        )
    for name, text in {"bad-pair": "FOO", "unknown": "FOO=bar", "bad-ip": "IP=x"}.items():
        yield Row(f"args-check/{name}", conf(ranges=subnets(V4)), (add(), check(args=text)))


# The environment.


def environments() -> Iterator[Row]:
    config = conf(ranges=subnets(V4))
    fields = {
        "CNI_CONTAINERID": "container",
        "CNI_NETNS": "netns",
        "CNI_IFNAME": "ifname",
        "CNI_PATH": "path",
    }
    need = {
        "ADD": list(fields),
        "CHECK": list(fields),
        "DEL": [name for name in fields if name != "CNI_NETNS"],
        "GC": ["CNI_PATH"],
        "STATUS": ["CNI_PATH"],
        "VERSION": [],
    }
    for verb, needed in need.items():
        for variable, attribute in fields.items():
            for kind, value in (("absent", None), ("empty", "")):
                code = 4 if variable in needed else None
                if verb == "CHECK" and code is None:
                    code = 3
                yield Row(
                    f"env/{verb}/{kind}/{variable}",
                    config,
                    (Step(verb, code=code, **{attribute: value}),),
                )
    yield Row(
        "env/all-missing", config, (Step("ADD", None, ifname=None, netns=None, path=None, code=4),)
    )

    ids = {
        "dash-first": "-a",
        "dot-first": ".a",
        "underscore-first": "_a",
        "space": "a b",
        "slash": "a/b",
        "colon": "a:b",
        "line": "a\nb",
        "line-end": "a\n",
        "umlaut": "ä",
        "tilde": "a~",
        "at": "a@b",
        "space-first": " a",
    }
    for name, value in ids.items():
        for verb in ("ADD", "CHECK", "DEL"):
            yield Row(f"id/bad/{verb}/{name}", config, (Step(verb, value, code=4),))
        yield Row(
            f"id/not-looked-at/{name}",
            config,
            (Step("GC", value), Step("STATUS", value), Step("VERSION", value)),
        )
    for name, value in {
        "one": "a",
        "digit": "0",
        "upper": "ABC",
        "dots": "a..",
        "all": "a_b.c-d",
        "long": "f" * 64,
        "very-long": "f" * 300,
    }.items():
        yield Row(f"id/good/{name}", config, (add(value), check(value), delete(value)))

    names = {
        "16": "a" * 16,
        "dot": ".",
        "dots": "..",
        "slash": "a/b",
        "colon": "a:b",
        "space": "a b",
        "tab": "a\tb",
        "line": "a\n",
        "form-feed": "a\fb",
        "long": "a" * 50,
        "next-line": "a\u0085b",
        "no-break-space": "a\u00a0b",
        "em-space": "a\u2003b",
        "ideographic-space": "a\u3000",
    }
    for name, value in names.items():
        for verb in ("ADD", "CHECK", "DEL"):
            yield Row(f"ifname/bad/{verb}/{name}", config, (Step(verb, ifname=value, code=4),))
    for name, value in {
        "15": "a" * 15,
        "one": "a",
        "dots": "...",
        "umlaut": "ä",
        "odd": "a@!#$%b",
        "dash": "-x",
    }.items():
        calls = (add(ifname=value), check(ifname=value), delete(ifname=value))
        yield Row(f"ifname/good/{name}", config, calls)

    for name, path in {
        "absent": "/run/netns/none",
        "folder": "/tmp",
        "file": "/etc/passwd",
        "relative": "no/such",
        "device": "/dev/null",
        "word": "x",
    }.items():
        yield Row(f"netns/{name}", config, (add(netns=path), check(netns=path), delete(netns=path)))
    own = "/proc/self/ns/net"
    for name, more in {
        "": {},
        "-override-0": {"CNI_NETNS_OVERRIDE": "0"},
        "-override-no": {"CNI_NETNS_OVERRIDE": "no"},
    }.items():
        yield Row(f"own-netns/add{name}", config, (add(netns=own, env=more),))
        yield Row(f"own-netns/del{name}", config, (add(), delete(netns=own, env=more)))
    for flag in ("1", "true", "TRUE", "True"):
        env = {"CNI_NETNS_OVERRIDE": flag}
        yield Row(
            f"netns/override-{flag}",
            config,
            (add(netns=own, env=env), check(netns=own), delete(netns=own, env=env)),
        )
    yield Row("env/unknown-variables", config, (add(env={"CNI_FOO": "x", "IP": "10.81.0.9"}),))
    yield Row("env/path-list", config, (add(path="/a:/b"), delete(path="/nowhere")))
    yield Row(
        "env/data-dir-is-a-file",
        conf(subnet=V4, dataDir="@/file"),
        (add(code=5),),
        files={"file": ""},
    )
    yield Row(
        "env/data-dir-below-a-file",
        conf(subnet=V4, dataDir="@/file/a"),
        (add(code=5),),
        files={"file": ""},
    )
    yield Row("env/data-dir-deep", conf(subnet=V4, dataDir="@/a/b/c"), (add(), delete()))
    yield Row("env/data-dir-slash", conf(subnet=V4, dataDir="@/leases/"), (add(), check()))
    yield Row(
        "env/data-dir-dots",
        conf(subnet=V4, dataDir="@/x/../leases"),
        (add(), check()),
        files={"x/y": ""},
    )


# ADD, DEL and CHECK in sequence.


def sequences() -> Iterator[Row]:
    config = conf(ranges=subnets(V4))
    dual = conf(ranges=subnets(V4, V6))
    for name, base, gives in (
        ("v4", config, ("10.81.0.2",)),
        ("dual", dual, ("10.81.0.2", "fd00:81::2")),
    ):
        yield Row(
            f"again/{name}", base, (add(), add(gives=gives), check(), delete(), check(code=3))
        )
    yield Row(
        "again/other-ifname",
        config,
        (
            add(),
            add(ifname="net1"),
            check(ifname="net1"),
            delete(),
            check(code=3),
            check(ifname="net1"),
        ),
    )
    yield Row(
        "again/other-network",
        config,
        (add(), add(config={**config, "name": "other"}, gives=("10.81.0.3",))),
    )
    yield Row("again/after-del", config, (add(), delete(), add(), delete(), add()))
    yield Row(
        "again/other-subnet",
        config,
        (add(), add(config=conf(ranges=subnets(OTHER_V4)), gives=("10.81.0.2",))),
    )
    yield Row(
        "again/one-set-more",
        config,
        (add(), add(config=dual, gives=("10.81.0.2", "fd00:81::2"))),
    )
    yield Row(
        "again/full",
        one("10.81.0.0/30"),
        (add(), add(gives=("10.81.0.2",)), add("c2", code=100, says=EXHAUSTED)),
    )

    yield Row("del/unknown", config, (delete(), add()))
    yield Row("del/twice", config, (add(), delete(), delete(), add("c2")))
    yield Row("del/other-ifname", config, (add(), delete(ifname="net1"), check()))
    yield Row("del/other-container", config, (add(), delete("c2"), check()))
    yield Row("del/prefix-of-id", config, (add("c12"), delete("c1"), check("c12")))
    yield Row("del/no-netns", config, (add(), delete(netns=None), check(code=3)))
    yield Row("del/netns-empty", config, (add(), delete(netns=""), check(code=3)))
    yield Row("del/netns-gone", config, (add(), delete(netns="gone"), check(code=3)))
    yield Row("del/other-subnet", config, (add(), delete(config=conf(ranges=subnets(OTHER_V4)))))
    yield Row("del/fewer-sets", dual, (add(), delete(config=config)))
    yield Row("del/more-sets", config, (add(), delete(config=dual)))
    yield Row("del/other-version", config, (add(), delete(config=conf("0.2.0", subnet=V4))))
    yield Row(
        "del/other-network", config, (add(), delete(config={**config, "name": "other"}), check())
    )
    yield Row(
        "del/other-data-dir", config, (add(), delete(config=conf(subnet=V4, dataDir="@/elsewhere")))
    )
    yield Row("del/previous", config, (add(), add("c2"), delete(previous=True), check("c2")))
    yield Row("del/previous-of-another", config, (add(), delete("c3", previous=True), check()))
    yield Row("del/previous-text", config, (add(), delete(previous="x")))
    yield Row("del/requested-bad", config, (add(), delete(config=asking(cni=["x"]))))
    yield Row("del/requested-outside", config, (add(), delete(config=asking(cni=["10.9.9.9"]))))
    yield Row(
        "del/frees-all-sets",
        conf(ranges=subnets(V4, OTHER_V4, V6)),
        (add(), add("c2"), delete(), check(code=3), check("c2")),
    )
    yield Row(
        "del/resolv-conf-gone", config, (add(), delete(config=conf(subnet=V4, resolvConf="@/none")))
    )

    yield Row("check/never", config, (check(code=3),))
    yield Row("check/other-ifname", config, (add(), check(ifname="net1", code=3)))
    yield Row("check/other-container", config, (add(), check("c2", code=3)))
    yield Row(
        "check/other-network", config, (add(), check(config={**config, "name": "other"}, code=3))
    )
    yield Row("check/previous", dual, (add(), check(previous=True)))
    yield Row("check/previous-empty", config, (add(), check(previous={}, code=999)))
    yield Row(
        "check/previous-other-address",
        config,
        (add(), check(previous={"ips": [{"address": "10.81.0.99/24"}]}, code=999)),
    )
    yield Row(
        "check/previous-half",
        dual,
        (add(), check(previous={"ips": [{"address": "10.81.0.2/24"}]}, code=999)),
    )
    yield Row(
        "check/more-in-previous",
        config,
        (add(), check(previous={"ips": [{"address": "10.81.0.2/24"}, {"address": "10.9.0.1/8"}]})),
    )
    yield Row("check/previous-text", config, (add(), check(previous="x", code=7)))
    yield Row("check/other-subnet", config, (add(), check(config=conf(ranges=subnets(OTHER_V4)))))
    yield Row("check/full", one("10.81.0.0/30"), (add(), check()))
    yield Row("check/own-netns", config, (add(), check(netns="/proc/self/ns/net")))

    half = conf(ranges=subnets(V4, "fd00:81::/126"))
    yield Row(
        "atomic/second-set-full",
        half,
        (*adds(2), add("c3", code=100, says=EXHAUSTED), check("c3", code=3), check("c1")),
    )
    yield Row(
        "atomic/left-over-request",
        dual,
        (
            add(args="IP=10.99.0.1", code=7),
            check(code=3),
            add("c2", gives=("10.81.0.2", "fd00:81::2")),
        ),
    )
    # host-local takes a live ADD's address away here.
    yield Row(
        "atomic/failing-again",
        dual,
        (add(config=conf(ranges=subnets(OTHER_V4))), add(args="IP=10.99.0.1", code=101), check()),
    )


# The order of addresses, and what host-local left behind.


def orders() -> Iterator[Row]:
    small = one("10.81.0.0/29")  # .2 to .6
    two = conf(
        ranges=[
            [
                {"subnet": V4, "rangeStart": "10.81.0.10", "rangeEnd": "10.81.0.12"},
                {"subnet": V4, "rangeStart": "10.81.0.20", "rangeEnd": "10.81.0.22"},
            ]
        ]
    )
    yield Row(
        "order/goes-on",
        small,
        (add("c1"), add("c2"), delete("c1"), delete("c2"), add("c3"), add("c4"), add("c5")),
    )
    yield Row(
        "order/freed-in-order-cooldown-off",
        conf(subnet="10.81.0.0/29", cooldown="0s"),
        (
            *adds(5),
            delete("c1"),
            delete("c2"),
            delete("c3"),
            add("d1"),
            add("d2"),
            add("d3"),
            add("d4", code=100, says=EXHAUSTED),
        ),
    )
    yield Row(
        "order/freed-out-of-order",
        conf(subnet="10.81.0.0/29", cooldown="0s"),
        (
            *adds(5),
            delete("c4"),
            delete("c1"),
            add("d1", gives=("10.81.0.5",)),
            add("d2", gives=("10.81.0.2",)),
            add("d3", code=100),
        ),
    )
    yield Row(
        "order/freed-before-untouched",
        conf(subnet="10.81.0.0/29", cooldown="0s"),
        (*adds(4), delete("c1"), add("d1"), add("d2"), add("d3", code=100)),
    )
    yield Row(
        "order/freed-just-now", one("10.81.0.0/30"), (add(), delete(), add("c2"), check("c2"))
    )
    yield Row(
        "order/prior-cursor-in-the-middle-of-freed",
        conf(subnet="10.81.0.0/29"),
        (add("c1"), delete("c1"), add("c2"), delete("c2"), add("c3")),
        prior=taken("10.81.0.4", cursor="10.81.0.4"),
    )

    for last in range(0, 8):
        cursor = f"10.81.0.{last}"
        yield Row(
            f"order/cursor/{last}", small, until_empty(5), prior={"last_reserved_ip.0": cursor}
        )
    for last in (2, 4, 6):
        for holders in ((2,), (3, 5), (2, 6), (4, 5, 6)):
            addresses = [f"10.81.0.{number}" for number in holders]
            yield Row(
                f"order/cursor/{last}-taken-{'-'.join(map(str, holders))}",
                small,
                until_empty(5 - len(holders)),
                prior=taken(*addresses, cursor=f"10.81.0.{last}"),
            )
    for last in (9, 10, 11, 12, 13, 19, 20, 21, 22, 23):
        yield Row(
            f"order/cursor/two-ranges-{last}",
            two,
            until_empty(6),
            prior={"last_reserved_ip.0": f"10.81.0.{last}"},
        )
    for last in (10, 12, 20, 22):
        yield Row(
            f"order/cursor/two-ranges-{last}-taken",
            two,
            until_empty(4),
            prior=taken("10.81.0.11", "10.81.0.21", cursor=f"10.81.0.{last}"),
        )
    cursors: dict[str, dict[str, str]] = {
        "outside": {"last_reserved_ip.0": "10.99.0.1"},
        "other-family": {"last_reserved_ip.0": "fd00::1"},
        "broadcast": {"last_reserved_ip.0": "10.81.0.255"},
        "gateway": {"last_reserved_ip.0": "10.81.0.1"},
        "nonsense": {"last_reserved_ip.0": "nonsense"},
        "empty": {"last_reserved_ip.0": ""},
        "mapped": {"last_reserved_ip.0": "::ffff:10.81.0.50"},
        "leading-zero": {"last_reserved_ip.0": "10.81.0.050"},
        "old-base64-name": {"last_reserved_ip.MTAuODEuMC4wLzI0": "10.81.0.50"},
    }
    for name, files in cursors.items():
        yield Row(f"order/cursor/{name}", conf(ranges=subnets(V4)), adds(2), prior=files)
    for name, cursor_file in {
        "of-set-1-only": "last_reserved_ip.1",
        "of-set-7": "last_reserved_ip.7",
        "old-name": "last_reserved_ip",
    }.items():
        yield Row(
            f"order/other-cursor/{name}",
            conf(ranges=subnets(V4)),
            (add(gives=("10.81.0.51",)),),
            prior={cursor_file: "10.81.0.50"},
        )
    yield Row(
        "order/other-cursor/line-end",
        conf(ranges=subnets(V4)),
        (add(gives=("10.81.0.51",)),),
        prior={"last_reserved_ip.0": "10.81.0.50\n"},
    )
    yield Row(
        "order/cursor/v6",
        conf(ranges=subnets(V6)),
        adds(3),
        prior={"last_reserved_ip.0": "fd00:81::ff"},
    )
    yield Row(
        "order/cursor/v6-last",
        conf(ranges=subnets(V6)),
        adds(2),
        prior={"last_reserved_ip.0": "fd00:81::ffff:ffff:ffff:ffff"},
    )
    yield Row(
        "order/cursor/dual",
        conf(ranges=subnets(V4, V6)),
        adds(2),
        prior={"last_reserved_ip.0": "10.81.0.40", "last_reserved_ip.1": "fd00:81::40"},
    )
    yield Row(
        "order/other-cursor/sets-swapped",
        conf(ranges=subnets(V4, V6)),
        (add(gives=("10.81.0.41", "fd00:81::41")),),
        prior={"last_reserved_ip.1": "10.81.0.40", "last_reserved_ip.0": "fd00:81::40"},
    )
    yield Row(
        "order/other-cursor/v4-sets-swapped",
        conf(ranges=subnets(V4, OTHER_V4)),
        (add(gives=("10.81.0.41", "10.82.0.41")),),
        prior={"last_reserved_ip.1": "10.81.0.40", "last_reserved_ip.0": "10.82.0.40"},
    )
    yield Row(
        "order/cursor/start-moved",
        one(V4, rangeStart="10.81.0.100"),
        adds(2),
        prior={"last_reserved_ip.0": "10.81.0.40"},
    )
    yield Row(
        "order/cursor/then-requested",
        conf(ranges=subnets(V4)),
        (add("c1", args="IP=10.81.0.41"), add("c2"), add("c3")),
        prior={"last_reserved_ip.0": "10.81.0.40"},
    )


def priors() -> Iterator[Row]:
    config = conf(ranges=subnets(V4))
    yield Row(
        "prior/others",
        config,
        (add(), check(), delete()),
        prior=taken("10.81.0.2", "10.81.0.3", "10.81.0.5"),
    )
    yield Row(
        "prior/v6", conf(ranges=subnets(V6)), (*adds(2),), prior=taken("fd00:81::2", "fd00:81::4")
    )
    yield Row("prior/outside", config, (add(), check("other-0")), prior=taken("10.99.0.7"))
    yield Row(
        "prior/gateway",
        config,
        (add(), check("other-0"), delete("other-0")),
        prior=taken("10.81.0.1"),
    )
    yield Row(
        "prior/full",
        one("10.81.0.0/30"),
        (add(code=100, says=EXHAUSTED), delete("other-0"), add()),
        prior=taken("10.81.0.2"),
    )
    mine = {"10.81.0.9": entry("c1")}
    bare = {"10.81.0.9": entry("c1", None)}
    yield Row("prior/own", config, (add(gives=("10.81.0.9",)), check(), delete()), prior=mine)
    yield Row("prior/own-bare", config, (add(gives=("10.81.0.9",)), check(), delete()), prior=bare)
    yield Row(
        "prior/own-outside", config, (add(gives=("10.99.0.9",)),), prior={"10.99.0.9": entry("c1")}
    )
    yield Row("prior/check", config, (check(), check(ifname="net1", code=3)), prior=mine)
    yield Row("prior/check-bare", config, (check(), check(ifname="net1")), prior=bare)
    yield Row("prior/del", config, (delete(), add("c2"), check(code=3)), prior=mine)
    yield Row("prior/del-bare", config, (delete(), add("c2"), check(code=3)), prior=bare)
    yield Row(
        "prior/del-other-ifname", config, (delete(ifname="net1"), add("c2"), check()), prior=mine
    )
    yield Row(
        "prior/del-bare-other-ifname",
        config,
        (delete(ifname="net1"), add("c2"), check(code=3)),
        prior=bare,
    )
    yield Row("prior/del-after-adoption", config, (add("c2"), delete(), check(code=3)), prior=mine)
    yield Row(
        "prior/del-bare-after-adoption", config, (add("c2"), delete(), check(code=3)), prior=bare
    )
    yield Row("prior/own-other-ifname", config, (add(ifname="net1"),), prior=mine)
    yield Row(
        "prior/two-of-one",
        config,
        (add("c2"), check(), delete(), check(code=3)),
        prior={"10.81.0.9": entry("c1"), "10.81.0.12": entry("c1")},
    )
    yield Row(
        "prior/bare-and-full",
        config,
        (add("c2"), delete(), check(code=3)),
        prior={"10.81.0.9": entry("c1"), "10.81.0.12": entry("c1", None)},
    )
    yield Row(
        "prior/spaces",
        config,
        (add("c2"), check(), delete(), check(code=3)),
        prior={"10.81.0.9": " c1\r\neth0\n"},
    )
    yield Row("prior/only-line-feed", config, (add("c2"), check()), prior={"10.81.0.9": "c1\neth0"})
    yield Row(
        "prior/bare-line-end", config, (add("c2"), check(), delete()), prior={"10.81.0.9": "c1\n"}
    )
    yield Row("prior/orphan", config, (add(gives=("10.81.0.2",)),), prior={"10.81.0.2": ""})
    yield Row(
        "prior/stranger",
        config,
        (add(), check()),
        prior={"README": "hello", "10.81.0.300": entry("x"), "last_reserved_ipx": "1"},
    )
    yield Row(
        "prior/leading-zero-name", config, (add(), add("c2")), prior={"10.81.0.02": entry("x")}
    )
    yield Row(
        "prior/dual",
        conf(ranges=subnets(V4, V6)),
        (add("c2"), check("c1"), delete("c1")),
        prior={"10.81.0.9": entry("c1"), "fd00:81::9": entry("c1")},
    )
    yield Row(
        "prior/gc",
        {**config, "cni.dev/valid-attachments": []},
        (gc(), add("c2"), check()),
        prior=mine,
    )
    yield Row("prior/status", config, (status(), add("c2"), check()), prior=mine)
    yield Row(
        "prior/other-network",
        {**config, "name": "other"},
        (add(), check("c9", code=3)),
        prior={"10.81.0.2": entry("c9")},
        compare_leases=False,
    )
    yield Row(
        "prior/requested", config, (add("c2", args="IP=10.81.0.9", code=101), add("c3")), prior=mine
    )
    yield Row(
        "prior/requested-own", config, (add(args="IP=10.81.0.9", gives=("10.81.0.9",)),), prior=mine
    )


def guards() -> Iterator[Row]:
    config = conf(ranges=subnets(V4))
    link = (
        "link add guard type veth peer name guarded",
        "link set guard up",
        "link set guarded up",
    )
    address = (*link, "addr add 10.81.0.2/24 dev guard")
    route = (*link, "addr add 10.90.0.1/24 dev guard", "route add 10.81.0.2/32 dev guard")
    yield Row("guard/address", config, (add(gives=("10.81.0.3",)),), host=address)
    yield Row("guard/route", config, (add(gives=("10.81.0.3",)),), host=route)
    yield Row(
        "guard/address-v6",
        conf(ranges=subnets(V6)),
        (add(gives=("fd00:81::3",)),),
        host=(*link, "addr add fd00:81::2/64 dev guard"),
    )
    yield Row(
        "guard/requested-address", config, (add(args="IP=10.81.0.2", code=101),), host=address
    )
    yield Row("guard/requested-route", config, (add(args="IP=10.81.0.2", code=101),), host=route)
    yield Row("guard/full", one("10.81.0.0/30"), (add(code=100),), host=address)
    yield Row(
        "guard/gateway-on-host",
        config,
        (add(), add("c2")),
        host=(*link, "addr add 10.81.0.1/24 dev guard"),
    )
    yield Row(
        "guard/wider-route",
        config,
        (add(), add("c2")),
        host=(*link, "addr add 10.90.0.1/24 dev guard", "route add 10.81.0.0/24 dev guard"),
    )


ROWS: list[Row] = [
    row
    for group in (
        shapes,
        verbs,
        collections,
        ranges,
        refusals,
        judged_apart,
        keys,
        routes,
        resolv_confs,
        requests,
        cni_args,
        environments,
        sequences,
        orders,
        priors,
        guards,
    )
    for row in group()
]

INTENDED: list[Intended] = [
    # Verbs.
    Intended(
        "bad-conf/*", "==-", "STATUS says 7 for an invalid configuration; host-local has none"
    ),
    Intended("bad-nowhere/*", "==-", "STATUS says 7 for an invalid configuration"),
    Intended(
        "bad-conf-then/*",
        "=++- leases",
        "CHECK does not consult ranges, and DEL succeeds whatever the configuration says; "
        "host-local leaks the address",
    ),
    Intended(
        "bad-nowhere-then/*",
        "==+- leases",
        "DEL finds its lease in every store of the node; CHECK cannot know which one is meant",
    ),
    Intended(
        "bad-input-then/*",
        "==+- leases",
        "DEL goes by container id and interface if it can read nothing else",
    ),
    Intended("unknown-version/del/*", "+", "DEL succeeds with an unknown cniVersion"),
    Intended("args-del/*", "=+- leases", "DEL succeeds whatever CNI_ARGS says"),
    Intended("args-check/*", "=+", "CHECK asks for no address, so it does not read CNI_ARGS"),
    Intended("del/requested-bad", "=+ leases", "DEL does not judge requested addresses"),
    Intended(
        "del/other-data-dir",
        "== leases",
        "a DEL whose configuration no longer says where its lease is finds it",
    ),
    Intended("verb/status/without-ipam", "-", "STATUS says 7 for an invalid configuration"),
    Intended("verb/status/full-and-told-to-say", "=-", "STATUS may say 50 when told to"),
    Intended("verb/status/data-dir-is-a-file", "-", "STATUS fails if the store is not writable"),
    Intended(
        "gc/gone-one-left/*", "====- leases", "GC frees what is not valid; host-local has none"
    ),
    Intended("gc/gone-none-left/*", "===-- leases", "GC frees what is not valid"),
    Intended("gc/malformed/*", "=-=", "GC that cannot read the valid attachments must not guess"),
    Intended("check/previous-*", "=-", "CHECK compares the leases with prevResult"),
    Intended("own-netns/add*", "+", "an IPAM plugin enters no namespace, so its own is no error"),
    Intended("own-netns/del*", "=+", "DEL always succeeds when the lease is gone"),
    # Leases.
    Intended("again/v4", "=+===", "a repeated ADD gives the same addresses"),
    Intended("again/dual", "=+===", "a repeated ADD gives the same addresses"),
    Intended("again/full", "=+=", "a repeated ADD gives the same addresses"),
    Intended(
        "again/one-set-more",
        "=+ leases",
        "a repeated ADD keeps what it has, and gets the family that is new (FACTS, section 2)",
    ),
    Intended(
        "again/other-network",
        "=~ leases",
        "two networks on one wire have no address in common (FACTS, row 7)",
    ),
    Intended(
        "name/two-networks",
        "=~==~ leases",
        "two networks on one wire have no address in common (FACTS, row 7)",
    ),
    Intended("again/other-subnet", "=~ leases", "a repeated ADD gives the same addresses"),
    Intended("prior/own", "+==", "a repeated ADD gives the same addresses, adopted ones too"),
    Intended("prior/own-bare", "+==", "a bare id matches any interface"),
    Intended("prior/check*", "== leases", "CHECK changes nothing: the first ADD adopts"),
    Intended("prior/own-outside", "~ leases", "a repeated ADD gives the same addresses"),
    Intended("prior/requested-own", "+", "a repeated ADD gives the same addresses"),
    Intended("request/own-again", "=+", "a repeated ADD gives the same addresses"),
    Intended(
        "request/another-under-a-live-key",
        "=- leases",
        "a request for other addresses under a live key is an error",
    ),
    Intended(
        "atomic/left-over-request", "==~ leases", "a failed ADD leaves nothing, no cursor either"
    ),
    Intended("atomic/failing-again", "==+ leases", "a failed ADD frees nothing of an earlier one"),
    Intended("request/then-cursor", "==~ leases", "a requested address moves no hint"),
    Intended(
        "order/freed-out-of-order",
        "=======~~= leases",
        "after the untouched addresses comes the one freed longest ago",
    ),
    Intended(
        "order/other-cursor/*",
        "~ leases",
        "an adopted cursor counts for the set its address lies in, whatever its file is called",
    ),
    Intended("prior/orphan", "~ leases", "an empty file is an orphan, not a lease"),
    Intended("prior/bare-and-full", "==- leases", "a bare id matches any interface"),
    Intended("prior/only-line-feed", "=+ leases", "an entry is split at \\r or \\n"),
    Intended("guard/address", "~ leases", "an address of the host is never leased"),
    Intended("guard/address-v6", "~ leases", "an address of the host is never leased"),
    Intended("guard/route", "~ leases", "the target of a host route is never leased"),
    Intended("guard/requested-*", "- leases", "an address of the host is not given on request"),
    Intended("guard/full", "- leases", "an address of the host is never leased"),
    # Configurations that only host-local takes.
    Intended("stricter/*length-leading-zero*", "- leases", "a prefix length has no leading zeros"),
    Intended("stricter/gateway-*", "- leases", "a gateway is of the family of its subnet"),
    Intended("stricter/special-*", "- leases", "no pod can have such an address"),
    Intended("stricter/start-is-broadcast", "- leases", "no range runs past its subnet"),
    Intended("stricter/typing-error-*", "- leases", "a key one edit from a known one is an error"),
    Intended("stricter/route-without-dst", "- leases", "a route without dst is an error"),
    Intended("stricter/route-empty", "- leases", "a route without dst is an error"),
    Intended("stricter/route-null", "- leases", "a route without dst is an error"),
    Intended("stricter/route-mapped-and-wide", "- leases", "host-local prints 10.0.0.0/0 for it"),
    Intended(
        "stricter/relative-data-dir", "-", "a store's place must not hang on a working folder"
    ),
    Intended("stricter/invalid-utf-8", "- leases", "JSON is UTF-8"),
    Intended("stricter/lone-surrogate*", "- leases", "JSON is UTF-8"),
    # Configurations that only podlease takes.
    Intended("kinder/tiny-*", "+ leases", "/31 and the like are usable when both ends are given"),
    Intended("kinder/prefix-host", "+ leases", "prefix host makes every address usable"),
    Intended("kinder/gateway-none", "+ leases", "gateway may be none"),
    Intended("kinder/same-set-*", "+ leases", "identical sets of two sources are one"),
    Intended("kinder/inline-subnet-null", "+ leases", "null counts as absent"),
    Intended("kinder/unknown-name-in-ipam", "+ leases", "unknown keys are ignored"),
    Intended("kinder/byte-order-mark", "+ leases", "a reader may skip it (RFC 8259, section 8.1)"),
    Intended("args/kubernetes-strict", "+ leases", "the K8S_* keys are accepted without a flag"),
    Intended("args/go-field", "+ leases", "CommonArgs is only a name in host-local's Go source"),
    Intended("args/ip-bad-then-good", "+ leases", "of two IP= the later one counts"),
    Intended("dns/unicode-space/*", "~", "words of resolv.conf are parted by ASCII white space"),
    Intended("dns/long-line", "+ leases", "64 KiB a line is a limit of Go's scanner"),
    # Answers.
    Intended(
        "apart/gateway-of-other-range",
        "~ leases",
        "an address that is a gateway is never leased, whichever range it is the gateway of",
    ),
    Intended("apart/v4-compatible", "~ leases", "host-local takes ::a51:2 for 10.81.0.2"),
    Intended("route/huge/1.1.0", "~=", "host-local rounds numbers to 53 bits"),
    Intended("key/text/same-objects-twice", "~~", "of two equal keys the later counts, all of it"),
    Intended("more/*", "~ leases", "host-local does not know the key"),
]
