"""A real Kubernetes control plane as plain processes of the user: no Docker, no root."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hopper.local import binaries, kubeconfig, ports, processes, record
from hopper.local.catalogue import KUBERNETES
from hopper.local.errors import ClusterNotRunningError, ClusterStartError, LocalError, PortTakenError
from hopper.local.kubectl import Kubectl
from hopper.local.kwokctl import COMPONENTS, PORTS, ExtraArgs, Kwokctl, check_workdir, configuration
from hopper.local.last_words import cure, last_words
from hopper.local.lock import is_locked, locked
from hopper.local.paths import DEFAULT_NAME, cache_dir, clusters_dir, valid_name
from hopper.local.progress import SILENT, Progress
from hopper.local.status import KUBECONFIG, State, Status, answers, inspect, kubectl_for

_API_SERVER = "kube-apiserver"
_PORT_ATTEMPTS = 3
_RESTARTS = 5
_READY_WITHIN = 120.0
_START_SECONDS = 4.0


# What clusters usually have: claims that name no class are served.
_STORAGE_CLASS = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/host-path
"""


# Where the host-path provisioner of Kubernetes makes its directories; it has no setting for that.
_VOLUMES = Path("/tmp/hostpath_pv")  # noqa: S108


class LocalCluster:
    """The local cluster called `name`, running or not. Making the object changes nothing.

    `nodes` simulated nodes are there after `up`; `extra_args` are flags for components, such as
    `{"kube-apiserver": {"audit-policy-file": "/path"}}`.
    """

    provider = "local"

    def __init__(
        self,
        name: str = DEFAULT_NAME,
        *,
        nodes: int = 1,
        extra_args: ExtraArgs | None = None,
        cache: Path | None = None,
    ) -> None:
        """`cache` is where everything lies, see `paths.cache_dir`. Raises InvalidNameError, ClusterStartError."""
        self.name = valid_name(name)
        self._nodes = nodes
        self._extra_args = _checked(extra_args or {})
        self._cache = cache or cache_dir()
        self._directory = clusters_dir(self._cache) / name
        self._lock = self._cache / "locks" / f"cluster-{name}.lock"

    @property
    def directory(self) -> Path:
        """Everything that belongs to this cluster only: data, certificates, `logs/`."""
        return self._directory

    @property
    def kubeconfig(self) -> Path:
        """The cluster's own kubeconfig (admin). It exists while the cluster does."""
        return self._directory / KUBECONFIG

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl on the cluster and return its standard output.

        Raises ClusterNotRunningError, or KubectlError when kubectl fails and `check` is on.
        """
        return self._kubectl()(*args, input=input, check=check)

    def status(self) -> Status:
        """How the cluster is now."""
        if is_locked(self._lock):
            return Status(self.name, self.provider, State.CHANGING)
        return inspect(self.name, self._directory, self.provider)

    def up(self, progress: Progress = SILENT) -> None:
        """Have the cluster running: nothing to do if it is, started anew if it is stale.

        Raises BinariesError, ClusterStartError; then nothing is left behind.
        """
        check_workdir(self._cache)
        with self._locked(progress):
            status = inspect(self.name, self._directory, self.provider)
            if status.running:
                progress.note(self._already_running())
                return
            if status.state is State.STALE:
                progress.note(f"Cluster {self.name!r} is stale ({'; '.join(status.problems)}): starting it anew, empty")
                self._clear()
            tools = binaries.ensure(self._cache, progress)
            with progress.step(f"Starting cluster {self.name!r}", _START_SECONDS):
                self._start(tools)

    def down(self, progress: Progress = SILENT) -> bool:
        """End every process and remove every file of the cluster. Returns whether there was anything."""
        if not self._directory.exists() and not is_locked(self._lock):
            return False
        with self._locked(progress):
            if not self._directory.exists():
                return False
            with progress.step(f"Stopping cluster {self.name!r}"):
                self._remove_volumes()
                self._clear()
            return True

    def _remove_volumes(self) -> None:
        """Remove the directories that the controller manager made for volumes; they lie outside of ours."""
        if not (found := record.read(self._directory)):
            return
        kubectl = kubectl_for(self._directory, found)
        try:
            paths = kubectl("get", "pv", "--output=jsonpath={.items[*].spec.hostPath.path}", "--request-timeout=3s")
        except LocalError:
            return  # no API server, nobody knows
        for path in map(Path, paths.split()):
            if path.parent == _VOLUMES:
                shutil.rmtree(path, ignore_errors=True)

    def stop_apiserver(self) -> None:
        """Kill the API server and leave the rest running, to see how clients bear it."""
        self._running_record()
        processes.kill(process for process in processes.recorded(self._directory) if process.name == _API_SERVER)
        processes.forget_dead(self._directory)

    def start_apiserver(self) -> None:
        """Start the API server again, on the same port and data, and whatever died without it; wait until it is ready.

        Raises ClusterStartError.
        """
        found = self._running_record()
        kwokctl = Kwokctl({name: Path(path) for name, path in found.binaries.items()}, self._cache)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            dead = self._dead()
            ports.await_free(found.ports[option] for option, component in PORTS.items() if component in dead)
            self._start_dead(kwokctl)
            try:
                self._await_ready(kwokctl, found)
            except PortTakenError:
                if attempt == _PORT_ATTEMPTS:
                    raise
            else:
                return

    def _start(self, tools: Mapping[str, Path]) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._start_once(tools)
            except PortTakenError as error:
                self._clear()
                if attempt == _PORT_ATTEMPTS:
                    raise PortTakenError(f"{error}\nTry again: other ports will be chosen") from error
            except BaseException:
                self._clear()
                raise
            else:
                return

    def _start_once(self, tools: Mapping[str, Path]) -> None:
        drawn = dict(zip(PORTS, ports.free_ports(len(PORTS), self._cache), strict=True))
        found = record.Record(
            provider=self.provider,
            version=KUBERNETES.version,
            server=f"https://127.0.0.1:{drawn['kubeApiserverPort']}",
            ports=drawn,
            binaries={name: str(path) for name, path in tools.items()},
            arguments=self._arguments(),
        )
        self._directory.mkdir(parents=True, mode=0o700)
        found.write(self._directory)
        config = self._directory / "kwokctl.yaml"
        config.write_text(configuration(tools, drawn, self._extra_args), encoding="utf-8")
        kwokctl = Kwokctl(tools, self._cache)
        kwokctl.create(self.name, config)
        kubeconfig.write(self.kubeconfig, name=self.name, server=found.server, pki=self._directory / "pki")
        self._await_ready(kwokctl, found)
        if self._nodes:
            kwokctl.scale_nodes(self.name, self._nodes)
            self._kubectl()("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=60s")
        self._kubectl()("create", "--filename=-", input=_STORAGE_CLASS)
        found.completed().write(self._directory)

    def _await_ready(self, kwokctl: Kwokctl, found: record.Record) -> None:
        """Wait until every process runs and the API server and the controllers work, starting what has died."""
        deadline = time.monotonic() + _READY_WITHIN
        restarts = 0
        while True:
            if dead := self._dead():
                # On a busy machine a component may give up waiting for the API server.
                self._check_ports(dead)
                if restarts == _RESTARTS:
                    words = last_words(self._directory, dead)
                    raise ClusterStartError(f"{words}\n{cure(words)}")
                restarts += 1
                self._start_dead(kwokctl)
            elif answers(self._directory, found) and self._controllers_work(found):
                return
            if time.monotonic() > deadline:
                raise ClusterStartError(
                    f"cluster {self.name!r} was not ready within {_READY_WITHIN:.0f} s, its processes run: "
                    "the machine may be too busy, try again"
                )
            time.sleep(0.1)

    def _start_dead(self, kwokctl: Kwokctl) -> None:
        processes.forget_dead(self._directory)
        kwokctl.start(self.name)

    def _controllers_work(self, found: record.Record) -> bool:
        return kubectl_for(self._directory, found).succeeds("get", "serviceaccount", "default", "--namespace=default")

    def _dead(self) -> list[str]:
        alive = {process.name for process in processes.recorded(self._directory) if process.alive}
        return [component for component in COMPONENTS if component not in alive]

    def _check_ports(self, dead: list[str]) -> None:
        words = last_words(self._directory, dead)
        if "address already in use" in words:
            raise PortTakenError(words)

    def _clear(self) -> None:
        processes.kill(processes.starters(self._directory))
        processes.kill(reversed(processes.recorded(self._directory)))
        shutil.rmtree(self._directory, ignore_errors=True)

    def _kubectl(self) -> Kubectl:
        return kubectl_for(self._directory, self._running_record())

    def _running_record(self) -> record.Record:
        found = record.read(self._directory)
        if found is None:
            raise ClusterNotRunningError(
                f"cluster {self.name!r} is not running: start it with `hopper local up --name {self.name}`"
            )
        return found

    def _arguments(self) -> dict[str, object]:
        return {"nodes": self._nodes, "extraArgs": {name: dict(args) for name, args in self._extra_args.items()}}

    def _already_running(self) -> str:
        said = f"Cluster {self.name!r} is already running"
        if self._running_record().arguments != self._arguments():
            said += f", with other arguments; to change them, `hopper local down --name {self.name}` first"
        return said

    @contextmanager
    def _locked(self, progress: Progress) -> Iterator[None]:
        def waiting(holder: str) -> None:
            progress.note(f"Waiting for {holder}, which is starting or stopping cluster {self.name!r} ...")

        with locked(self._lock, waiting, remove=True):
            yield


def _checked(extra_args: ExtraArgs) -> ExtraArgs:
    for component in extra_args:
        if component not in COMPONENTS:
            raise ClusterStartError(f"there is no component {component!r}: there are {', '.join(COMPONENTS)}")
    return extra_args
