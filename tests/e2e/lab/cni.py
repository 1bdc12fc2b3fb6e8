"""Calls a CNI plugin as a runtime does: by environment and standard input."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Sequence, Union

Config = Union[dict, bytes, str]


@dataclass
class Answer:
    """What a plugin said. `json` is its standard output parsed, None where that is no JSON."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.stdout)
        except ValueError:
            return None

    @property
    def addresses(self) -> list[str]:
        """The addresses of a result of CNI 0.3.0 and later, without their prefix length."""
        return [ip["address"].split("/")[0] for ip in self.json["ips"]]


def environment(
    verb: str,
    *,
    container_id: Optional[str] = "container-1",
    netns: Optional[Union[str, Path]] = None,
    ifname: Optional[str] = "eth0",
    args: Optional[str] = None,
    path: Optional[str] = "/opt/cni/bin",
) -> dict[str, str]:
    """The CNI variables; one that is None is not set."""
    variables = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": container_id,
        "CNI_NETNS": netns,
        "CNI_IFNAME": ifname,
        "CNI_ARGS": args,
        "CNI_PATH": path,
    }
    return {name: str(value) for name, value in variables.items() if value is not None}


def stdin_of(config: Config) -> bytes:
    """A dict as JSON; text and bytes as they are, so that broken input can be sent too."""
    if isinstance(config, dict):
        return json.dumps(config).encode()
    return config.encode() if isinstance(config, str) else config


def spawn(
    plugin: Path,
    verb: str,
    env: Optional[dict[str, str]] = None,
    under: Sequence[object] = (),
    **cni: Any,
) -> subprocess.Popen:
    """Starts a plugin that waits for its configuration on stdin: to kill it, or to run many.
    `under` is a command to run it under."""
    return subprocess.Popen(
        [*under, plugin],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment(verb, **cni), **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def call(
    plugin: Path,
    verb: str,
    config: Config,
    *,
    timeout: float = 60,
    env: Optional[dict[str, str]] = None,
    under: Sequence[object] = (),
    **cni: Any,
) -> Answer:
    """Runs one verb to its end. `cni` are the keywords of `environment`."""
    process = spawn(plugin, verb, env, under, **cni)
    try:
        stdout, stderr = process.communicate(stdin_of(config), timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Answer(process.returncode, stdout, stderr.decode(errors="replace"))
