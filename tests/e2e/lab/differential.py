"""Feeds one row of calls to host-local and to podlease, and says where the two differ.

A row's difference is written as one mark for each step, and " leases" behind them if other leases
are left:
    =  both fail, or both succeed with the same answer
    +  only podlease succeeds
    -  only host-local succeeds
    ~  both succeed, with different answers"""

import fnmatch
import ipaddress
import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from lab import cni
from lab.cni import Answer
from lab.ipam import Ipam

EXHAUSTED = "no IP addresses available in range set"

# In a configuration and in variables, "@/" is the folder that a plugin has for this row. It holds
# the row's files, and "leases" is its dataDir.
HERE = "@/"

Config = Union[dict, str, bytes]


@dataclass(frozen=True)
class Step:
    """One call. `code` is the CNI error code podlease answers; without, it succeeds. `gives` are
    the addresses podlease answers, where they are not host-local's; `says` is part of the message
    of both."""

    verb: str
    container: Optional[str] = "c1"
    config: Optional[Config] = None  # other than the row's
    ifname: Optional[str] = "eth0"
    netns: Optional[str] = "pod"  # pod: one that lives; gone: one that is no more; or a path
    args: Optional[str] = None
    path: Optional[str] = "/opt/cni/bin"
    env: dict[str, str] = field(default_factory=dict)
    previous: Any = None  # a prevResult; True: the answer of the last ADD
    code: Optional[int] = None
    gives: Optional[tuple[str, ...]] = None
    says: str = ""


@dataclass(frozen=True)
class Row:
    name: str
    config: Config
    steps: tuple[Step, ...]
    prior: dict[str, str] = field(default_factory=dict)  # files in host-local's folder of "lab"
    files: dict[str, Union[str, bytes]] = field(default_factory=dict)  # files beside the dataDir
    host: tuple[str, ...] = ()  # commands of ip(8) that precede
    compare_leases: bool = True


@dataclass(frozen=True)
class Intended:
    """A difference on purpose: the rows by a pattern of their names, how they differ, and why."""

    rows: str
    marks: str
    reason: str

    def selects(self, row: Row) -> bool:
        return fnmatch.fnmatchcase(row.name, self.rows)


@dataclass
class Run:
    """What one plugin made of a row."""

    answers: list[Answer]
    leases: list[tuple[str, str, str, str]]


def run(row: Row, ipam: Ipam, folder: Path, netns: dict[str, str]) -> Run:
    """Runs a row's steps with one plugin; `folder` is empty and the plugin's own."""
    for place in (Path("/var/lib/cni"), Path("/var/lib/podlease")):
        for entry in place.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for name, content in row.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    if row.prior:
        _write_prior(row.prior, ipam.data_dir / "lab")
    answers: list[Answer] = []
    added = None
    for step in row.steps:
        config = row.config if step.config is None else step.config
        if step.previous is not None:
            config = {**config, "prevResult": added if step.previous is True else step.previous}
        answers.append(_call(step, config, ipam.binary, folder, netns))
        if step.verb == "ADD" and answers[-1].ok:
            added = answers[-1].json
    return Run(answers, _leases(ipam))


def _write_prior(prior: dict[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"lock": "", **prior}.items():
        (folder / name).write_bytes(content.encode())


def _call(step: Step, config: Config, binary: Path, folder: Path, netns: dict[str, str]) -> Answer:
    stdin = cni.stdin_of(config).replace(HERE.encode(), f"{folder}/".encode())
    return cni.call(
        binary,
        step.verb,
        stdin,
        env=step.env,
        container_id=step.container,
        ifname=step.ifname,
        netns=netns.get(step.netns, step.netns) if step.netns else step.netns,
        args=step.args,
        path=step.path,
    )


def _leases(ipam: Ipam) -> list[tuple[str, str, str, str]]:
    if not ipam.data_dir.is_dir() or (ipam.type == "podlease" and not _has_store(ipam)):
        return []
    leases = [
        (lease["network"], lease["address"].split("/")[0], lease["containerID"], lease["ifname"])
        for lease in ipam.leases()
    ]
    return sorted(lease for lease in leases if _is_address(lease[1]))


def _is_address(name: str) -> bool:
    """host-local's folder may hold other files."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _has_store(ipam: Ipam) -> bool:
    return (ipam.data_dir / "podlease.db").exists()


def marks(row: Row, theirs: Run, ours: Run) -> str:
    """How podlease differs from host-local, as the head of this file says."""
    text = "".join(map(_mark, theirs.answers, ours.answers))
    same_leases = theirs.leases == ours.leases or not row.compare_leases
    return text if same_leases else f"{text} leases"


def _mark(theirs: Answer, ours: Answer) -> str:
    if theirs.ok != ours.ok:
        return "+" if ours.ok else "-"
    return "=" if not ours.ok or _content(theirs) == _content(ours) else "~"


def _content(answer: Answer) -> Any:
    """Success is a JSON text or silence."""
    return answer.json if answer.stdout else None


def same_in_all(row: Row) -> str:
    return "=" * len(row.steps)


def faults(row: Row, theirs: Run, ours: Run) -> list[str]:
    """What podlease answered that the row does not say."""
    found = []
    for number, (step, their, our) in enumerate(zip(row.steps, theirs.answers, ours.answers)):
        where = f"step {number}, {step.verb}"
        if our.ok:
            if step.code is not None:
                found.append(f"{where}: succeeded, not code {step.code}")
            if step.gives is not None and our.addresses != list(step.gives):
                found.append(f"{where}: gave {our.addresses}, not {list(step.gives)}")
        else:
            found += [f"{where}: {fault}" for fault in _faults_of_error(our, step.code)]
        for who, answer in (("host-local", their), ("podlease", our)):
            if step.says.encode() not in answer.stdout:
                found.append(f"{where}: {who} does not say {step.says!r}")
    return found


def _faults_of_error(answer: Answer, code: Optional[int]) -> list[str]:
    error = answer.json
    if answer.status != 1 or not isinstance(error, dict):
        return [f"exit status {answer.status} and not one JSON object: {answer.stdout!r}"]
    found = []
    if error.get("code") != code:
        found.append(f"code {error.get('code')}, not {code}")
    message = error.get("msg")
    if not isinstance(message, str) or not message or "\n" in message:
        found.append(f"no message of one line: {message!r}")
    if not isinstance(error.get("cniVersion"), str):
        found.append("no cniVersion")
    unknown = set(error) - {"cniVersion", "code", "msg", "details"}
    if unknown:
        found.append(f"unknown keys {unknown}")
    return found


def describe(row: Row, theirs: Run, ours: Run) -> str:
    """Both runs side by side, for the message of a failed test."""
    lines = [row.name]
    for step, their, our in zip(row.steps, theirs.answers, ours.answers):
        lines.append(f"{_mark(their, our)} {step.verb} {step.container} {step.args or ''}")
        lines.append(f"    host-local {their.status} {_shown(their)}")
        lines.append(f"    podlease   {our.status} {_shown(our)}")
    lines.append(f"  leases of host-local {theirs.leases}")
    lines.append(f"  leases of podlease   {ours.leases}")
    return "\n".join(lines)


def _shown(answer: Answer) -> str:
    if answer.json is not None:
        return json.dumps(answer.json)
    return (answer.stdout.decode(errors="replace") + answer.stderr)[:400]


def prepare_host(row: Row) -> None:
    for command in row.host:
        subprocess.run(["ip", *command.split()], check=True)
