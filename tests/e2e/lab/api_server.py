"""A small Kubernetes API server that a test tells what to say, and that can misbehave. A real one
serves tests/cluster; this one is for what a real one does not do on demand."""

import json
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable

Handler = BaseHTTPRequestHandler


def node(name: str = "worker", **spec: Any) -> dict:
    """A v1 Node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-of-{name}", "annotations": {}},
        "spec": spec,
        "status": {},
    }


def send(handler: Handler, status: int, document: dict) -> None:
    body = json.dumps(document).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def status_object(code: int, message: str) -> dict:
    reason = "NotFound" if code == 404 else ""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "code": code,
        "message": message,
        "reason": reason,
    }


class ApiServer:
    """Serves `objects`, by path, on a port of its own, over TLS."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self.address = address
        folder.mkdir(parents=True, exist_ok=True)
        self.objects: dict[str, dict] = {}
        self.requests: list[tuple[str, str]] = []  # path and authorization
        self.misbehave: Callable[[Handler], None] | None = None
        self.delay = 0.0
        self.folder = folder
        self._make_certificate()
        server = self

        class Answerer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.requests.append((self.path, self.headers.get("Authorization", "")))
                time.sleep(server.delay)
                with suppress(OSError):
                    if server.misbehave:
                        server.misbehave(self)
                    elif self.path in server.objects:
                        send(self, 200, server.objects[self.path])
                    else:
                        send(self, 404, status_object(404, f"{self.path} not found"))

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # clients may hang up whenever they like

        self._server = Quiet((address, 0), Answerer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _make_certificate(self) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-days", "2", "-subj", "/CN=test"]
            + ["-addext", f"subjectAltName=IP:{self.address}"]
            + ["-keyout", self.folder / "server.key", "-out", self.folder / "server.crt"],
            check=True,
            capture_output=True,
        )

    def set_node(self, document: dict) -> None:
        self.objects[f"/api/v1/nodes/{document['metadata']['name']}"] = document

    def kubeconfig(self, **user: Any) -> Path:
        """A kubeconfig that leads here."""
        path = self.folder / "kubeconfig"
        cluster = {
            "server": f"https://{self.address}:{self.port}",
            "certificate-authority": str(self.folder / "server.crt"),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user or {"token": "secret"}}],
        }
        path.write_text(json.dumps(config))  # JSON is YAML
        return path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
