"""etcd and an API server, in the network namespace of the tests: what everybody else talks to."""

import http.client
import json
import re
import shutil
import ssl
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Callable, Iterator, Mapping, Optional, Sequence

from lab import places
from lab.daemon import Daemon
from lab.kubectl import Kubectl
from lab.pki import Authority
from lab.waiting import until

SERVICES = "10.96.0.0/16"


def flags(**values: object) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


@dataclass(frozen=True)
class Place:
    """Where the two listen. etcd is on loopback, and its peers' port is the next one."""

    address: str
    port: int
    etcd: int

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"


class Api:
    """Starts etcd, then the server, and ends them in the opposite order. `hosts` are more names of
    the server, `options` more of its flags."""

    def __init__(
        self, folder: Path, place: Place, hosts: Sequence[str] = (), **options: object
    ) -> None:
        self.folder = folder
        folder.mkdir()
        self.place = place
        self.authority = Authority(folder / "pki")
        names = [f"IP:{place.address}", "IP:127.0.0.1", "DNS:kubernetes", *hosts]
        self.authority.sign("apiserver", "kube-apiserver", hosts=names)
        self.kubectl = Kubectl(self.sign("admin", "admin", "system:masters"))
        self.etcd = Daemon("etcd", folder, self._etcd())
        self.api_server = Daemon("kube-apiserver", folder, self._api_server(options))
        self._kept = threading.local()

    def sign(self, name: str, common_name: str, group: str = "") -> Path:
        """Returns the kubeconfig of a new identity."""
        self.authority.sign(name, common_name, group)
        return self.authority.kubeconfig(name, self.place.url)

    def start(self) -> None:
        self.etcd.start()
        self.start_api_server()

    def stop(self) -> None:
        for daemon in self._daemons():
            daemon.stop()

    def demand_running(self) -> None:
        for daemon in self._daemons():
            assert daemon.running, f"{daemon.name} has ended:\n{daemon.tail()}"

    def start_api_server(self) -> None:
        """Returns when it answers."""
        if not self.api_server.running:
            self.api_server.start()
        self.api_server.resume()
        until("an API server that is ready", self.is_ready)

    def is_ready(self) -> bool:
        assert self.api_server.running, self.api_server.tail()
        return self.kubectl("get", "--raw=/readyz", timeout="2s") == "ok"

    @contextmanager
    def snapshot(self) -> Iterator[Callable[[], None]]:
        """Of all that etcd knows. Yields what goes back to it, as from a backup."""
        data, copy = self.folder / "etcd", self.folder / "etcd-snapshot"
        self._replace_etcd(lambda: shutil.copytree(data, copy))

        def go_back() -> None:
            shutil.rmtree(data)
            shutil.copytree(copy, data)

        try:
            yield lambda: self._replace_etcd(go_back)
        finally:
            shutil.rmtree(copy)

    def ask(self, method: str, path: str, body: Optional[dict] = None) -> bytes:
        """One request of the administrator's, where kubectl would take too long: on a connection
        that each thread keeps."""
        if not hasattr(self._kept, "connection"):
            self._kept.connection = self._connection()
        try:
            status, said = _ask(self._kept.connection, method, path, body)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self._kept.connection.close()  # it was idle for long, and the server had enough of it
            status, said = _ask(self._kept.connection, method, path, body)
        assert status < 300, (method, path, status, said)
        return said

    def ask_as(
        self, token: str, method: str, path: str, body: Optional[dict] = None
    ) -> tuple[int, bytes]:
        """One request of whoever has this token: the status, and what else was said."""
        with closing(self._connection(with_certificate=False)) as connection:
            return _ask(connection, method, path, body, {"Authorization": f"Bearer {token}"})

    def requests(self) -> "Requests":
        """All that it has answered so far."""
        return Requests.of(self.ask("GET", "/metrics").decode())

    def _connection(self, with_certificate: bool = True) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if with_certificate:
            folder = self.authority.folder
            context.load_cert_chain(folder / "admin.crt", self.authority.key("admin"))
        place = self.place
        return http.client.HTTPSConnection(place.address, place.port, timeout=60, context=context)

    def _replace_etcd(self, change: Callable[[], None]) -> None:
        """Its clients are told nothing but that it is another one."""
        clients = [daemon for daemon in self._daemons() if daemon is not self.etcd]
        for daemon in [*clients, self.etcd]:
            daemon.stop()
        change()
        self.etcd.start()
        self.start_api_server()
        for daemon in clients:
            if not daemon.running:
                daemon.start()

    def _daemons(self) -> list[Daemon]:
        """The last that was started first."""
        return [self.api_server, self.etcd]

    def _etcd(self) -> list[object]:
        clients, peers = (f"http://127.0.0.1:{self.place.etcd + more}" for more in (0, 1))
        options = flags(
            data_dir=self.folder / "etcd",
            listen_client_urls=clients,
            advertise_client_urls=clients,
            listen_peer_urls=peers,
            initial_advertise_peer_urls=peers,
            initial_cluster=f"default={peers}",
        )
        # What is in it need not survive the machine.
        return [places.peers("etcd") / "server", *options, "--unsafe-no-fsync"]

    def _api_server(self, more: dict[str, object]) -> list[object]:
        key = self.authority.service_account_key
        options: dict[str, object] = {
            "etcd_servers": f"http://127.0.0.1:{self.place.etcd}",
            "advertise_address": self.place.address,
            "secure_port": self.place.port,
            "service_cluster_ip_range": SERVICES,
            "cert_dir": self.folder / "apiserver",
            "tls_cert_file": self.authority.folder / "apiserver.crt",
            "tls_private_key_file": self.authority.key("apiserver"),
            "client_ca_file": self.authority.certificate,
            "authorization_mode": "Node,RBAC",
            "enable_admission_plugins": "NodeRestriction",
            "service_account_issuer": "https://kubernetes.default.svc",
            "service_account_key_file": key,
            "service_account_signing_key_file": key,
        }
        return [places.peers("kubernetes") / "kube-apiserver", *flags(**{**options, **more})]


def _ask(
    connection: http.client.HTTPSConnection,
    method: str,
    path: str,
    body: Optional[dict],
    headers: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, bytes]:
    text = json.dumps(body) if body else None
    connection.request(method, path, text, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read()


METRIC = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Requests:
    """What a server has answered, by its own count: (verb, resource, code) to a number."""

    counts: dict[tuple[str, str, str], int]

    @staticmethod
    def of(metrics: str) -> "Requests":
        counts: dict[tuple[str, str, str], int] = {}
        for labels, number in METRIC.findall(metrics):
            label = dict(LABEL.findall(labels))
            key = (label["verb"], label["resource"], label["code"])
            counts[key] = counts.get(key, 0) + int(float(number))
        return Requests(counts)

    def __sub__(self, before: "Requests") -> "Requests":
        news = {key: count - before.counts.get(key, 0) for key, count in self.counts.items()}
        return Requests({key: count for key, count in news.items() if count})

    def of_kind(self, resource: str, *verbs: str, code: str = "") -> int:
        """How many: of all verbs if none is named, likewise of all codes."""
        return sum(
            count
            for (verb, what, answer), count in self.counts.items()
            if what == resource and (not verbs or verb in verbs) and code in ("", answer)
        )
