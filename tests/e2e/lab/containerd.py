"""A containerd of our own, and pod sandboxes in it through CRI, as the kubelet would have them."""

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Iterator, Optional

import pytest

from lab import netns, places

PAUSE_IMAGE = "docker.io/local/pause:1"

# No registry is needed, nothing listens outside the folder, and NRI (one fixed socket for the whole
# machine) is off. restrict_oom_score_adj: without CAP_SYS_RESOURCE, as in many containers, runc
# could not set the score and would fail with "can't get final child's PID from pipe".
CONFIG = """
version = 3
root = "{folder}/root"
state = "{state}"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
  address = "{socket}"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{image}"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true

  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = {bin_dirs}
    conf_dir = "{folder}/net.d"

  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      Root = "{state}/runc"
      SystemdCgroup = false
"""


def build_pause_image(folder: Path) -> Path:
    """A docker-archive with one layer that holds one static program."""
    program = folder / "pause"
    source = places.ROOT / "tests/e2e/pause.c"
    subprocess.run(["gcc", "-O2", "-static", "-s", "-o", program, source], check=True)

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(program, arcname="pause")
    digest = sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    members = {
        "layer.tar": layer.getvalue(),
        "config.json": json.dumps(config).encode(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    image = folder / "pause.tar"
    with tarfile.open(image, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return image


class CriError(Exception):
    """A CRI call failed; the text is the runtime's."""


class Containerd:
    """One instance: root, state, socket, CNI folders and cgroup of its own."""

    def __init__(self, folder: Path, pause_image: Path, *plugins: Path) -> None:
        """`plugins` are folders of plugins that come before the others."""
        instance = sha256(str(folder).encode()).hexdigest()[:12]
        self.folder = folder
        # Not below the folder: the path of a socket has room for 107 bytes.
        self.state = Path("/run/lab", instance)
        self.socket = self.state / "containerd.sock"
        self.log = folder / "containerd.log"
        self.conf_dir = folder / "net.d"
        self.conf_dir.mkdir(parents=True)
        self.under: list[object] = []  # in front of its command line
        self._pause_image = pause_image
        self._process: Optional[subprocess.Popen] = None
        parent = os.environ.get("PODLEASE_SANDBOX_CGROUP", "/podlease-e2e")
        self.cgroup = f"{parent}/{instance}"
        bin_dirs = [*map(str, plugins), str(places.peers("cni")), str(places.podlease().parent)]
        (folder / "config.toml").write_text(
            CONFIG.format(
                folder=folder,
                state=self.state,
                socket=self.socket,
                image=PAUSE_IMAGE,
                bin_dirs=json.dumps(bin_dirs),
            )
        )

    def use_network(self, conflist: dict) -> None:
        """Makes this the only network; a running containerd notices by itself, in a moment."""
        for old in self.conf_dir.iterdir():
            old.unlink()
        (self.conf_dir / "10-lab.conflist").write_text(json.dumps(conflist, indent=2))

    # The daemon.

    def start(self) -> None:
        """Starts it, also after `kill`, and returns when it serves CRI with the pause image."""
        binaries = places.peers("containerd")
        with self.log.open("ab") as log:
            # A session of its own: ^C is for pytest, which then stops this in order.
            self._process = subprocess.Popen(
                [*self.under, binaries / "containerd", "--config", self.folder / "config.toml"],
                env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until("serves CRI", lambda: isinstance(self._try_cri("runtime-status"), dict))
        if PAUSE_IMAGE not in self.cri("images"):
            command = [binaries / "ctr", "--address", self.socket, "--namespace", "k8s.io"]
            command += ["images", "import", "--local", self._pause_image]
            subprocess.run([*self.under, *command], check=True, capture_output=True)
            self._wait_until("has the image", lambda: PAUSE_IMAGE in self.cri("images"))

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """kill -9 of the daemon alone: its shims and pods live on, as after a crash."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly end of the daemon alone; pods live on, as over an upgrade."""
        self._end(signal.SIGTERM)

    def lose_everything(self) -> None:
        """Ends the daemon and all pods, and removes every trace of them behind its back: no network
        is torn down. Start it again, and it is a new one."""
        self.kill()
        self._end_leftovers()
        netns.remove(*(name for name in netns.names() if name.startswith("cni-")))
        for folder in (self.folder / "root", self.state):
            shutil.rmtree(folder, ignore_errors=True)

    def destroy(self) -> None:
        """Removes all pods, then the daemon, then whatever a failed test left of either."""
        try:
            if self.running:
                pods = [pod["id"] for pod in self.pods()]
                self.stop_pods(*pods)
                self.remove_pods(*pods)
        except CriError as error:
            print(f"removing the pods failed: {error}")
        finally:
            self.stop()
            self._end_leftovers()

    # Pods.

    def run_pod(
        self,
        name: str,
        namespace: str = "default",
        uid: Optional[str] = None,
        attempt: int = 0,
        annotations: Optional[dict[str, str]] = None,
    ) -> str:
        """Runs a pod sandbox and returns its id."""
        arguments = ["--name", name, "--namespace", namespace, "--attempt", str(attempt)]
        arguments += ["--uid", uid] if uid else []
        for key, value in (annotations or {}).items():
            arguments += ["--annotation", f"{key}={value}"]
        return self.cri("run", *arguments, "--cgroup-parent", self.cgroup)["id"]

    def pod_status(self, pod: str) -> dict:
        """`status` as CRI defines it, and containerd's verbose `info`."""
        return self.cri("status", pod)

    def pod_addresses(self, pod: str) -> list[str]:
        network = self.pod_status(pod)["status"]["network"]
        return [network["ip"], *(more["ip"] for more in network["additionalIps"])]

    def pods(self) -> list[dict]:
        return self.cri("list")

    def stop_pods(self, *pods: str) -> None:
        self.cri("stop", *pods)

    def remove_pods(self, *pods: str) -> None:
        self.cri("remove", *pods)

    def network_condition(self) -> dict:
        """The NetworkReady condition, which decides whether the kubelet's node is Ready."""
        conditions = self.cri("runtime-status")["status"]["conditions"]
        return next(item for item in conditions if item["type"] == "NetworkReady")

    def wait_for_network(self, name: str) -> None:
        """Waits until containerd has read the network of this name."""
        self._wait_until(
            f"uses network {name}", lambda: any(item["name"] == name for item in self._networks())
        )

    def wait_for_config(self, conflist: dict) -> None:
        """Waits until it has read just this network."""
        self._wait_until("uses the network", lambda: self._networks() == [conflist])

    def cri(self, *arguments: str) -> object:
        """Runs the CRI client (tests/peers/cri) and returns the JSON it prints."""
        command = [places.peers("cri") / "cri", "--endpoint", self.socket, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise CriError(done.stderr.strip())
        return json.loads(done.stdout)

    # Internals.

    def _try_cri(self, *arguments: str) -> object:
        try:
            return self.cri(*arguments)
        except CriError:
            return None

    def _networks(self) -> list[dict]:
        """The configurations that it has read; loopback is its own."""
        networks = self.cri("runtime-status")["info"]["cniconfig"]["Networks"]
        found = [json.loads(network["Config"]["Source"]) for network in networks]
        return [conflist for conflist in found if conflist["name"] != "cni-loopback"]

    def _wait_until(self, what: str, condition, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(self.log.read_text().splitlines()[-20:])
                raise RuntimeError(f"containerd never {what}; the end of its log:\n{tail}")
            time.sleep(0.05)

    def _end(self, number: signal.Signals) -> None:
        if self.running:
            self._process.send_signal(number)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _end_leftovers(self) -> None:
        """Ends shims and pods by process id, then removes mounts and cgroups."""
        for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = cmdline.read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended meanwhile
            if b"shim" in words[0] and os.fsencode(self.socket) in words:
                _kill(int(cmdline.parent.name))
        groups = [*_cgroups(self.cgroup)]
        for group in groups:
            for pid in (group / "cgroup.procs").read_text().split():
                _kill(int(pid))
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith((f"{self.folder}/", f"{self.state}/")):
                subprocess.run(["umount", "--lazy", mount], check=False)
        for group in groups:
            _remove_cgroup(group)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _cgroups(name: str) -> Iterator[Path]:
    """The cgroup of this name and those below it, deepest first, in every hierarchy."""
    top = Path("/sys/fs/cgroup")
    for hierarchy in [top, *top.iterdir()]:
        for folder, _, _ in os.walk(f"{hierarchy}{name}", topdown=False):
            yield Path(folder)


def _remove_cgroup(group: Path, seconds: float = 2) -> None:
    """Tries until the last process has left it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return group.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@pytest.fixture(scope="session")
def pause_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_pause_image(tmp_path_factory.mktemp("pause"))


@pytest.fixture
def containerd(tmp_path: Path, pause_image: Path) -> Iterator[Containerd]:
    """An instance that is not started yet: give it a network first."""
    instance = Containerd(tmp_path / "containerd", pause_image)
    yield instance
    instance.destroy()
