"""The IPAM plugin that a test runs with: podlease, or host-local to prove the harness itself."""

import ipaddress
import json
import subprocess
from pathlib import Path
from typing import Any

from lab import places

DEFAULT_ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


class Ipam:
    """A plugin by name, with a folder for its leases."""

    def __init__(self, plugin: str, data_dir: Path) -> None:
        self.type = plugin
        self.data_dir = data_dir

    @property
    def binary(self) -> Path:
        if self.type == "podlease":
            return places.podlease()
        return places.peers("cni") / self.type

    def config(self, *subnets: str, **more: Any) -> dict:
        """The `ipam` object: one range set for each subnet."""
        ranges = [[{"subnet": subnet}] for subnet in subnets]
        return {"type": self.type, "dataDir": str(self.data_dir), "ranges": ranges, **more}

    def leases(self) -> list[dict]:
        """All leases of the folder, each with at least address, network, containerID and ifname."""
        if self.type == "podlease":
            return json.loads(self.command("list", "--output", "json").stdout)
        return [
            self._host_local_lease(path)
            for path in sorted(self.data_dir.glob("*/*"))
            if path.name != "lock" and not path.name.startswith("last_reserved_ip")
        ]

    def leased(self) -> list[str]:
        """The leased addresses, without prefix length, in order."""
        addresses = [ipaddress.ip_interface(lease["address"]).ip for lease in self.leases()]
        return [str(ip) for ip in sorted(addresses, key=lambda ip: (ip.version, int(ip)))]

    def command(self, *arguments: str) -> subprocess.CompletedProcess:
        """Runs a subcommand of podlease on the folder; it must succeed."""
        command = [places.podlease(), *arguments, "--data-dir", self.data_dir]
        return subprocess.run(command, check=True, capture_output=True, text=True)

    @staticmethod
    def _host_local_lease(path: Path) -> dict:
        container_id, _, ifname = path.read_bytes().decode().partition("\r\n")
        return {
            "address": path.name,
            "network": path.parent.name,
            "containerID": container_id,
            "ifname": ifname,
        }
