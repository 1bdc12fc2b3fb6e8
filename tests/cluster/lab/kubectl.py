"""What an administrator does to a cluster, with the administrator's own tool."""

import json
import subprocess
from pathlib import Path
from typing import Optional

from lab import places


class KubectlError(Exception):
    """A command failed; the text is kubectl's."""


class Kubectl:
    """kubectl with one identity, in the namespace `default`."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    def spawn(self, *arguments: object) -> subprocess.Popen:
        """Starts a command that runs until it is ended, and prints lines."""
        program = places.peers("kubernetes") / "kubectl"
        command = [program, "--kubeconfig", self._kubeconfig, *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )

    def __call__(self, *arguments: object, stdin: str = "", timeout: str = "30s") -> str:
        """`timeout` is for each request."""
        program = places.peers("kubernetes") / "kubectl"
        command = [program, "--kubeconfig", self._kubeconfig, f"--request-timeout={timeout}"]
        done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, text=True)
        if done.returncode != 0:
            raise KubectlError(done.stderr.strip())
        return done.stdout

    def get(self, kind: str, name: str) -> dict:
        return json.loads(self("get", kind, name, "--output=json"))

    def list(self, kind: str, selector: str = "") -> list[dict]:
        arguments = [f"--selector={selector}"] if selector else []
        return json.loads(self("get", kind, "--output=json", *arguments))["items"]

    def create(self, *objects: dict) -> None:
        self("create", "--filename=-", stdin=_document(objects))

    def apply(self, *objects: dict) -> None:
        self("apply", "--filename=-", stdin=_document(objects))

    def patch(self, kind: str, name: str, patch: dict) -> None:
        """None removes a key."""
        self("patch", kind, name, "--type=merge", f"--patch={json.dumps(patch)}")

    def delete(self, kind: str, name: Optional[str] = None, wait: bool = True) -> None:
        """Without a name: all of that kind."""
        what = [name] if name else ["--all"]
        self("delete", kind, *what, "--ignore-not-found", f"--wait={json.dumps(wait)}")


def _document(objects: tuple[dict, ...]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
