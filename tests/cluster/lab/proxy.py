"""Stands between a node and the API server, and does what networks and servers do on bad days."""

import http.client
import json
import re
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Iterator, Optional

from lab.cluster import Cluster
from lab.control_plane import ADDRESS
from lab.pki import kubeconfig
from lab.worker import KUBECONFIG, KUBELET_PKI, Worker

PORT = 7443
BLOCKS = "/apis/podlease.io/v1alpha1/podblocks"
POOLS = "/apis/podlease.io/v1alpha1/podpools"

LIST, ONE = rf"^{BLOCKS}(\?.*)?$", rf"^{BLOCKS}/.+"
POOL = rf"^{POOLS}/.+"

REASONS = {
    403: "Forbidden",
    404: "NotFound",
    409: "AlreadyExists",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass
class Fault:
    """What becomes of requests of a method for a path, so many times."""

    method: str
    path: str  # an expression
    lose_request: bool = False  # the server never sees it; the connection is cut
    lose_answer: bool = False  # the server acts, and the connection is cut
    status: int = 0  # the answer, instead of the server's
    delay_request: float = 0
    delay_answer: float = 0
    body: Optional[bytes] = None  # the answer of another time
    times: int = 10**6
    seen: int = field(default=0, init=False)


class Proxy:
    """One, for one node, whose certificate it has. Without faults it changes nothing."""

    def __init__(self, cluster: Cluster, worker: Worker) -> None:
        authority = cluster.control_plane.authority
        authority.sign("proxy", "kube-apiserver", hosts=[f"IP:{ADDRESS.ip}"])
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str, int]] = []  # method, path, status or 0
        self._lock = threading.Lock()
        self._upstream = ssl.create_default_context(cafile=str(authority.certificate))
        self._upstream.load_cert_chain(
            authority.folder / f"{worker.name}.crt", authority.key(worker.name)
        )
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(authority.folder / "proxy.crt", authority.key("proxy"))
        self._server = ThreadingHTTPServer((str(ADDRESS.ip), PORT), self._handler())
        self._server.daemon_threads = True
        self._server.request_queue_size = 256
        # The handshake is the thread's, not the listener's.
        self._server.socket = own.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        # The certificate is what says which node this is.
        self.kubeconfig = KUBECONFIG.with_name("proxy.conf")
        pair = KUBELET_PKI / "kubelet-client-current.pem"
        server = f"https://{ADDRESS.ip}:{PORT}"
        ca = Path("/etc/kubernetes/pki/ca.crt")
        worker.write(self.kubeconfig, kubeconfig(server, ca, pair, pair))

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def requests(self, method: str, path: str) -> Iterator[int]:
        """Their statuses."""
        return (code for verb, what, code in self.seen if verb == method and re.search(path, what))

    def fault_of(self, method: str, path: str) -> Fault:
        with self._lock:
            for fault in self.faults:
                matches = fault.method == method and re.search(fault.path, path)
                if matches and fault.seen < fault.times:
                    fault.seen += 1
                    return fault
        return Fault(method, path)

    def ask(self, method: str, path: str, headers: dict, body: bytes) -> tuple[int, dict, bytes]:
        connection = http.client.HTTPSConnection(
            str(ADDRESS.ip), 6443, timeout=30, context=self._upstream
        )
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _handler(self) -> type:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hop = ("host", "connection", "accept-encoding", "content-length")
                headers = {k: v for k, v in self.headers.items() if k.lower() not in hop}
                fault = proxy.fault_of(self.command, self.path)
                time.sleep(fault.delay_request)
                if fault.lose_request:
                    return self._cut()
                if fault.status:
                    text = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
                    text |= {"code": fault.status, "reason": REASONS[fault.status]}
                    text["message"] = f"the lab says {fault.status}"
                    return self._answer(fault.status, "application/json", json.dumps(text).encode())
                if fault.body is not None:
                    return self._answer(200, "application/json", fault.body)
                try:
                    status, found, text = proxy.ask(self.command, self.path, headers, body)
                except OSError:
                    return self._cut()
                if fault.lose_answer:
                    return self._cut()
                time.sleep(fault.delay_answer)
                self._answer(status, found.get("Content-Type", ""), text)

            def _cut(self) -> None:
                proxy.seen.append((self.command, self.path, 0))
                self.close_connection = True
                self.connection.close()

            def _answer(self, status: int, kind: str, text: bytes) -> None:
                proxy.seen.append((self.command, self.path, status))
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:  # nobody waits for it any more
                    self.close_connection = True

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle

            def log_message(self, *_: object) -> None:
                pass

        return Handler
