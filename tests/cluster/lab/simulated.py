"""Nodes that are only processes: hundreds of them, each with a Node object, an identity, a store
and a configuration of its own, on one real API server. Their pods share one network namespace that
has no address: nobody that looks into it finds a pod there."""

import itertools
import json
import os
import subprocess
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Optional, Sequence, TypeVar

from lab import cni, netns, places, pools, store
from lab.api import Api, Place
from lab.cni import Answer

T = TypeVar("T")
R = TypeVar("R")

TRY_AGAIN = 11
EXHAUSTED = 100

NETWORK = "pods"
NETNS = "simulated"
# Beside those of a ControlPlane, which may run too.
PLACE = Place("127.0.0.1", port=16443, etcd=12379)
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# All stores of a machine, which a new one adds itself to: in life one or two.
STORES = Path("/var/lib/podlease/stores")


# Set once anything failed or was interrupted: nothing is run any more.
_over = threading.Event()


def run(command: Sequence[object], env: dict[str, str], stdin: Path, stderr: Path) -> Answer:
    """What subprocess does, in a tenth of its time: hundreds of thousands are run."""
    assert not _over.is_set(), "it is over"
    words = [str(word) for word in command]
    reader, writer = os.pipe()
    with open(reader, "rb") as answer:
        with open(writer, "wb"):
            actions = [
                (os.POSIX_SPAWN_OPEN, 0, str(stdin), os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writer, 1),
                (os.POSIX_SPAWN_OPEN, 2, str(stderr), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            ]
            process = os.posix_spawn(words[0], words, env, file_actions=actions)
        said = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return Answer(status, said, "" if status == 0 else stderr.read_text(errors="replace"))


def environment(verb: str, container: str) -> dict[str, str]:
    pod = {"container_id": container, "netns": netns.FOLDER / NETNS}
    return {"PATH": PATH, **cni.environment(verb, **pod)}


class Node:
    """One node. `ipam` goes beside what every configuration here has."""

    def __init__(
        self, number: int, folder: Path, stores: Path, api: Api, ipam: dict[str, Any]
    ) -> None:
        self.number = number
        self.name = f"node-{number}"
        self.folder = folder / self.name
        self.store = stores / self.name / "store"
        self.token = f"token-of-{self.name}"
        self.folder.mkdir()
        kubeconfig = self.folder / "kubeconfig"
        kubeconfig.write_text(_kubeconfig(api, self.token))
        kubernetes = {"kubeconfig": str(kubeconfig), "nodeName": self.name}
        kubernetes |= ipam.get("kubernetes", {})
        own = {"type": "podlease", "mode": "cluster-pool", "dataDir": str(self.store)}
        config = {"cniVersion": "1.1.0", "name": NETWORK, "type": "routed"}
        self.config = self.folder / "10-pods.conf"
        self.config.write_text(
            json.dumps({**config, "ipam": {**own, **ipam, "kubernetes": kubernetes}})
        )

    @property
    def object(self) -> dict[str, Any]:
        """Its Node. A machine of its own by its machine id; the other ids it does not tell, for
        they would have to be this machine's."""
        address = str(ip_address("198.18.0.0") + self.number)
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name},
            "status": {
                "addresses": [{"type": "InternalIP", "address": address}],
                "nodeInfo": {**dict.fromkeys(NODE_INFO, ""), "machineID": f"{self.number:032x}"},
            },
        }

    def call(self, verb: str, container: str) -> Answer:
        # Two calls at once on one node share the file, of which only failures tell.
        stderr = self.folder / "stderr"
        return run([places.podlease()], environment(verb, container), self.config, stderr)

    def podlease(self, *arguments: object) -> Answer:
        """The command line, as on a machine that has this one store."""
        where = ["--data-dir", self.store]
        command = [places.podlease(), *arguments, *where]
        return run(command, {"PATH": PATH}, Path(os.devnull), self.folder / "stderr")

    def gc(self) -> Answer:
        return self.podlease("gc", "--conf-dir", self.folder, "--output", "json")

    def release(self) -> Answer:
        """Before it is scaled away."""
        return self.podlease("node", "release", "--conf-dir", self.folder, "--output", "json")


NODE_INFO = [
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
]


def _kubeconfig(api: Api, token: str) -> str:
    """JSON is YAML too."""
    cluster = {
        "server": api.place.url,
        "certificate-authority": str(api.authority.certificate),
    }
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "lab", "user": {"token": token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "current-context": "lab",
        }
    )


class Pods:
    """Who has which address, over all nodes: an address that is given twice is told at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: dict[str, tuple[Node, str]] = {}
        self._held: dict[Node, dict[str, str]] = {}
        self.twice: list[str] = []

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._held.values()))

    def of(self, node: Node) -> list[str]:
        """Its containers."""
        return list(self.addresses_of(node))

    def addresses_of(self, node: Node) -> dict[str, str]:
        """By container."""
        with self._lock:
            return dict(self._held.get(node, {}))

    def add(self, node: Node, container: str) -> Answer:
        answer = node.call("ADD", container)
        if answer.ok:
            (address,) = answer.addresses
            self._note(node, container, address)
        return answer

    def delete(self, node: Node, container: str) -> Answer:
        """The address may be another's before the DEL has answered, so it is given up first."""
        with self._lock:
            address = self._held.get(node, {}).pop(container, "")
            self._holders.pop(address, None)
        return node.call("DEL", container)

    def _note(self, node: Node, container: str, address: str) -> None:
        pod = (node, container)
        with self._lock:
            other = self._holders.setdefault(address, pod)
            if other != pod:
                names = f"{node.name} {container} and {other[0].name} {other[1]}"
                self.twice.append(f"{address} is given to {names}")
            self._held.setdefault(node, {})[container] = address


@dataclass
class Block:
    """As the API server has it."""

    cidr: str
    node: str
    claim: str


class Crowd:
    """The nodes, their API server and their pods. What their pods do is done through `pods`."""

    def __init__(self, api: Api, nodes: list[Node]) -> None:
        self.api = api
        self.nodes = nodes
        self.pods = Pods()

    def make_pool(self, cidrs: Sequence[Any], **spec: Any) -> None:
        self.api.ask("POST", POOLS, pools.pool("default", cidrs, **spec))

    def change_pool(self, cidrs: Sequence[Any], **spec: Any) -> None:
        self.api.kubectl.apply(pools.pool("default", cidrs, **spec))

    def blocks(self) -> list[Block]:
        items = json.loads(self.api.ask("GET", BLOCKS))["items"]
        specs = [item["spec"] for item in items]
        return [Block(each["cidr"], each["nodeName"], each["claimID"]) for each in specs]

    def demand_order(self) -> None:
        """Nothing is given twice, each block is one node's, which knows it, and each address lies
        in a block of the node that gave it."""
        assert not self.pods.twice, self.pods.twice
        blocks = self.blocks()
        spaces = sorted(ip_network(block.cidr) for block in blocks)
        for one, other in zip(spaces, spaces[1:]):
            assert not one.overlaps(other), (one, other)
        owned: dict[str, set[str]] = {node.name: set() for node in self.nodes}
        for block in blocks:
            owned[block.node].add(block.cidr)
        for node in self.nodes:
            own, known = owned[node.name], set(store.blocks(node.store))
            assert known == own, (node.name, known ^ own)
            wide = [ip_network(cidr) for cidr in own]
            for address in self.pods.addresses_of(node).values():
                assert any(ip_address(address) in each for each in wide), (node.name, address, own)


BLOCKS, POOLS = (f"/apis/{pools.VERSION}/{kind}" for kind in ("podblocks", "podpools"))


def at_once(most: int, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """All of it, so many at a time. A failure ends it."""
    _over.clear()
    with ThreadPoolExecutor(most) as executor:
        futures = [executor.submit(work, item) for item in items]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = (each.exception() for each in futures if each.done())
            failure = next(filter(None, failed), None)
            if failure:
                raise failure
            return [future.result() for future in futures]
        except BaseException:
            _over.set()
            executor.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def crowd(
    folder: Path,
    count: int,
    ipam: dict[str, Any],
    ipv4_block: int = 26,
    stores: Optional[Path] = None,
) -> Iterator[Crowd]:
    """An API server with definitions, roles and policy, and so many nodes. The whole may be big:
    `folder` better lies in memory. `stores` is the folder of the nodes' stores, if another."""
    folder.mkdir(parents=True)
    crds = folder / "crds.yaml"
    definitions = [places.podlease(), "crds", "--ipv4-block", str(ipv4_block)]
    crds.write_bytes(subprocess.check_output(definitions))
    tokens = folder / "tokens.csv"
    # Nobody needs the address of the server's own Service, and it would have to be no loopback.
    api = Api(
        folder / "api",
        PLACE,
        token_auth_file=tokens,
        bind_address=PLACE.address,
        advertise_address="192.0.2.1",
        endpoint_reconciler_type="none",
    )
    numbers = range(1, count + 1)
    nodes = [Node(number, folder, stores or folder, api, ipam) for number in numbers]
    lines = (f'{each.token},system:node:{each.name},{each.name},"system:nodes"' for each in nodes)
    tokens.write_text("\n".join(lines) + "\n")
    netns.create(NETNS)
    try:
        api.start()
        pools.install(api.kubectl, crds, ipv4_block)
        at_once(8, lambda node: api.ask("POST", "/api/v1/nodes", node.object), nodes)
        yield Crowd(api, nodes)
    finally:
        api.stop()
        netns.remove(NETNS)


_numbers = itertools.count(1)


def next_container() -> str:
    """As container runtimes make them: 64 hexadecimal digits."""
    return f"{next(_numbers) * 0x9E3779B97F4A7C15 % 2**64:016x}" * 4
