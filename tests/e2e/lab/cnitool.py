"""Runs whole networks through libcni's own command, cnitool."""

import json
import os
import subprocess
from pathlib import Path
from typing import Optional

from lab import places
from lab.cni import Answer
from lab.netns import Netns

VERSION = "1.1.0"


def conflist(name: str, *plugins: dict) -> dict:
    return {"cniVersion": VERSION, "name": name, "plugins": list(plugins)}


def bridge(ipam: dict, name: str = "br-lab", **more: object) -> dict:
    return {"type": "bridge", "bridge": name, "isGateway": True, "ipam": ipam, **more}


def ptp(ipam: dict, **more: object) -> dict:
    return {"type": "ptp", "ipam": ipam, **more}


def plugin_path() -> str:
    """The CNI_PATH of peers and the plugin under test."""
    return os.pathsep.join([str(places.peers("cni")), str(places.podlease().parent)])


class Network:
    """A network configuration list in a folder of its own, and cnitool's verbs on it."""

    def __init__(self, folder: Path, config: dict) -> None:
        self.name: str = config["name"]
        self.folder = folder
        self.write(config)

    def write(self, config: dict) -> None:
        """Replaces the configuration, as an administrator would under running pods."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{self.name}.conflist").write_text(json.dumps(config, indent=2))

    def add(self, netns: Netns, **how: str) -> Answer:
        return self.run("add", netns, **how)

    def check(self, netns: Netns, **how: str) -> Answer:
        return self.run("check", netns, **how)

    def delete(self, netns: Netns, **how: str) -> Answer:
        return self.run("del", netns, **how)

    def gc(self) -> Answer:
        """cnitool names no valid attachment: everything cached or leased goes."""
        return self.run("gc", None)

    def status(self) -> Answer:
        return self.run("status", None)

    def run(
        self,
        verb: str,
        netns: Optional[Netns],
        *,
        args: Optional[str] = None,
        ifname: str = "eth0",
        capabilities: Optional[dict] = None,
    ) -> Answer:
        """cnitool derives the container id from the path of the namespace."""
        env = {
            "PATH": os.environ["PATH"],
            "CNI_PATH": plugin_path(),
            "NETCONFPATH": str(self.folder),
            "CNI_IFNAME": ifname,
        }
        if args is not None:
            env["CNI_ARGS"] = args
        if capabilities is not None:
            env["CAP_ARGS"] = json.dumps(capabilities)
        path = netns.path if netns else "/none"
        command = [places.peers("cni") / "cnitool", verb, self.name, path]
        done = subprocess.run(command, env=env, capture_output=True, timeout=120)
        return Answer(done.returncode, done.stdout, done.stderr.decode(errors="replace"))
