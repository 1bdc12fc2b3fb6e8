"""Certificates and kubeconfigs, as an installer of Kubernetes makes them."""

import json
import subprocess
from pathlib import Path
from typing import Sequence

DAYS = "30"


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """Signs certificates; each is a file NAME.crt with a NAME.key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.certificate = folder / "ca.crt"
        self._key = folder / "ca.key"
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._new = ["req", "-x509", *new_key, "-days", DAYS]
        files = ["-keyout", self._key, "-out", self.certificate]
        openssl(*self._new, "-subj", "/CN=kubernetes", *files)
        self.service_account_key = folder / "sa.key"
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", self.service_account_key)

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def sign(
        self, name: str, common_name: str, group: str = "", hosts: Sequence[str] = ()
    ) -> Path:
        """Returns the certificate; `hosts` are what a server is called: IP:…, DNS:…"""
        certificate = self.folder / f"{name}.crt"
        subject = (f"/O={group}" if group else "") + f"/CN={common_name}"
        extensions = ["basicConstraints=critical,CA:FALSE"]
        extensions += [f"subjectAltName={','.join(hosts)}"] if hosts else []
        command = [*self._new, "-CA", self.certificate, "-CAkey", self._key, "-subj", subject]
        for extension in extensions:
            command += ["-addext", extension]
        openssl(*command, "-keyout", self.key(name), "-out", certificate)
        return certificate

    def pair(self, name: str) -> str:
        """Certificate and key in one text, as the kubelet keeps its own."""
        return (self.folder / f"{name}.crt").read_text() + self.key(name).read_text()

    def kubeconfig(self, name: str, server: str) -> Path:
        """For the identity of this name, which is signed already."""
        path = self.folder / f"{name}.kubeconfig"
        certificate, key = self.folder / f"{name}.crt", self.key(name)
        path.write_text(kubeconfig(server, self.certificate, certificate, key))
        return path


def kubeconfig(server: str, authority: Path, certificate: Path, key: Path) -> str:
    """JSON is YAML too."""
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    cluster = {"server": server, "certificate-authority": str(authority)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "lab", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "current-context": "lab",
    }
    return json.dumps(document, indent=2)
