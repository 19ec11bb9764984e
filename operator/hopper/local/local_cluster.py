"""The embedded cluster: a real Kubernetes control plane as plain processes of the user, without Docker and root."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hopper.local import loopback_ports
from hopper.local.binaries import ensure_binaries
from hopper.local.binary_catalogue import KUBERNETES
from hopper.local.cluster_files import (
    DEFAULT_CLUSTER_NAME,
    KUBECONFIG_FILE,
    ClusterRecord,
    cache_dir,
    checked_cluster_name,
    clusters_dir,
    read_record,
    write_admin_kubeconfig,
)
from hopper.local.cluster_status import (
    ClusterState,
    ClusterStatus,
    dead_components,
    inspect_cluster,
    is_api_server_ready,
    kubectl_of_cluster,
)
from hopper.local.errors import ClusterNotRunningError, ClusterStartError, LocalError, PortTakenError
from hopper.local.file_lock import file_lock, is_file_locked
from hopper.local.kubectl import Kubectl
from hopper.local.kwokctl import COMPONENTS, PORTS, ExtraArgs, Kwokctl, check_kwokctl_workdir, kwokctl_config
from hopper.local.processes import (
    advice_for,
    final_output,
    kill_processes,
    recorded_kwokctl,
    recorded_processes,
    remove_dead_pid_files,
)
from hopper.local.progress import SILENT, Progress

_API_SERVER = "kube-apiserver"
_PORT_ATTEMPTS = 3
_RESTART_LIMIT = 5
_READY_WITHIN_SECONDS = 120.0
_USUAL_START_SECONDS = 4.0

# A default StorageClass, which clusters usually have. It serves claims without storageClassName.
_STORAGE_CLASS = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/host-path
"""

# The host-path provisioner of Kubernetes always creates its directories here.
_VOLUMES = Path("/tmp/hostpath_pv")  # noqa: S108


class LocalCluster:
    """The embedded cluster with the given name. Creating the object does not start the cluster.

    `nodes` is the number of simulated nodes. `extra_args` are flags of components, such as
    `{"kube-apiserver": {"audit-policy-file": "/path"}}`.
    """

    provider = "local"

    def __init__(
        self,
        name: str = DEFAULT_CLUSTER_NAME,
        *,
        nodes: int = 1,
        extra_args: ExtraArgs | None = None,
        cache: Path | None = None,
    ) -> None:
        """Check the arguments. `cache` replaces the default cache directory, see `cluster_files.cache_dir`.

        Raises InvalidNameError, ClusterStartError.
        """
        self.name = checked_cluster_name(name)
        self._nodes = nodes
        self._extra_args = _checked_args(extra_args or {})
        self._cache = cache or cache_dir()
        self._directory = clusters_dir(self._cache) / name
        self._lock_file = self._cache / "locks" / f"cluster-{name}.lock"

    @property
    def directory(self) -> Path:
        """Directory of the cluster with its data, its certificates and `logs/`."""
        return self._directory

    @property
    def kubeconfig(self) -> Path:
        """Admin kubeconfig of the cluster. The file exists as long as the cluster does."""
        return self._directory / KUBECONFIG_FILE

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl on the cluster and return its standard output.

        Raises ClusterNotRunningError, and KubectlError if kubectl fails and `check` is set.
        """
        return self._kubectl()(*args, input=input, check=check)

    def status(self) -> ClusterStatus:
        """Return the current status of the cluster."""
        if is_file_locked(self._lock_file):
            return ClusterStatus(self.name, self.provider, ClusterState.CHANGING)
        return inspect_cluster(self.name, self._directory, self.provider)

    def up(self, progress: Progress = SILENT) -> None:
        """Start the cluster unless it is running. Replace a stale cluster with an empty one.

        Raises BinariesError, ClusterStartError. A failed start leaves no files or processes.
        """
        check_kwokctl_workdir(self._cache)
        with self._locked(progress):
            status = inspect_cluster(self.name, self._directory, self.provider)
            if status.is_running:
                progress.note(self._already_running_message())
                return
            if status.state is ClusterState.STALE:
                progress.note(
                    f"Cluster {self.name!r} is stale ({'; '.join(status.problems)}): replacing it with an empty one"
                )
                self._clear()
            binaries = ensure_binaries(self._cache, progress)
            with progress.step(f"Starting cluster {self.name!r}", _USUAL_START_SECONDS):
                self._start(binaries)

    def down(self, progress: Progress = SILENT) -> bool:
        """Stop every process and remove every file of the cluster. Return whether the cluster existed."""
        if not self._directory.exists() and not is_file_locked(self._lock_file):
            return False
        with self._locked(progress):
            if not self._directory.exists():
                return False
            with progress.step(f"Stopping cluster {self.name!r}"):
                self._remove_volumes()
                self._clear()
            return True

    def _remove_volumes(self) -> None:
        """Remove the directories of PersistentVolumes, which lie outside the cluster's directory."""
        if not (record := read_record(self._directory)):
            return
        kubectl = kubectl_of_cluster(self._directory, record)
        try:
            paths = kubectl("get", "pv", "--output=jsonpath={.items[*].spec.hostPath.path}", "--request-timeout=3s")
        except LocalError:
            return  # Without the API server, the directories are unknown.
        for path in map(Path, paths.split()):
            if path.parent == _VOLUMES:
                shutil.rmtree(path, ignore_errors=True)

    def stop_apiserver(self) -> None:
        """Kill the API server and keep the other components running, to test clients during an outage."""
        self._existing_record()
        kill_processes(process for process in recorded_processes(self._directory) if process.name == _API_SERVER)
        remove_dead_pid_files(self._directory)

    def start_apiserver(self) -> None:
        """Restart the API server on the same port with the same data, and wait until it is ready.

        Other components that died meanwhile restart as well. Raises ClusterStartError.
        """
        record = self._existing_record()
        kwokctl = Kwokctl({name: Path(path) for name, path in record.binaries.items()}, self._cache)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            dead = dead_components(self._directory)
            loopback_ports.wait_until_free(
                record.ports[option] for option, component in PORTS.items() if component in dead
            )
            self._start_dead(kwokctl)
            try:
                self._wait_until_ready(kwokctl, record)
            except PortTakenError:
                if attempt == _PORT_ATTEMPTS:
                    raise
            else:
                return

    def _start(self, binaries: Mapping[str, Path]) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._start_once(binaries)
            except PortTakenError as error:
                self._clear()
                if attempt == _PORT_ATTEMPTS:
                    raise PortTakenError(f"{error}\nTry again: Hopper will choose other ports") from error
            except BaseException:
                self._clear()
                raise
            else:
                return

    def _start_once(self, binaries: Mapping[str, Path]) -> None:
        ports = dict(zip(PORTS, loopback_ports.free_ports(len(PORTS), self._cache), strict=True))
        record = ClusterRecord(
            provider=self.provider,
            version=KUBERNETES.version,
            server=f"https://127.0.0.1:{ports['kubeApiserverPort']}",
            ports=ports,
            binaries={name: str(path) for name, path in binaries.items()},
            arguments=self._arguments(),
        )
        self._directory.mkdir(parents=True, mode=0o700)
        record.write(self._directory)
        config = self._directory / "kwokctl.yaml"
        config.write_text(kwokctl_config(binaries, ports, self._extra_args), encoding="utf-8")
        kwokctl = Kwokctl(binaries, self._cache)
        kwokctl.create(self.name, config)
        write_admin_kubeconfig(self.kubeconfig, name=self.name, server=record.server, pki=self._directory / "pki")
        self._wait_until_ready(kwokctl, record)
        if self._nodes:
            kwokctl.scale_nodes(self.name, self._nodes)
            self._kubectl()("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=60s")
        self._kubectl()("create", "--filename=-", input=_STORAGE_CLASS)
        record.completed().write(self._directory)

    def _wait_until_ready(self, kwokctl: Kwokctl, record: ClusterRecord) -> None:
        """Wait until all components are ready, and restart those that die meanwhile.

        On a busy machine, a component may give up waiting for the API server and exit.
        """
        deadline = time.monotonic() + _READY_WITHIN_SECONDS
        restarts = 0
        while True:
            if dead := dead_components(self._directory):
                output = final_output(self._directory, dead)
                if "address already in use" in output:
                    raise PortTakenError(output)
                if restarts == _RESTART_LIMIT:
                    raise ClusterStartError(f"{output}\n{advice_for(output)}")
                restarts += 1
                self._start_dead(kwokctl)
            elif is_api_server_ready(self._directory, record) and self._has_default_service_account(record):
                return
            if time.monotonic() > deadline:
                raise ClusterStartError(
                    f"cluster {self.name!r} was not ready within {_READY_WITHIN_SECONDS:.0f} s although all its "
                    "processes are running: the machine may be too busy, try again"
                )
            time.sleep(0.1)

    def _start_dead(self, kwokctl: Kwokctl) -> None:
        remove_dead_pid_files(self._directory)
        kwokctl.start(self.name)

    def _has_default_service_account(self, record: ClusterRecord) -> bool:
        """Whether the controller manager works: it creates this ServiceAccount."""
        kubectl = kubectl_of_cluster(self._directory, record)
        return kubectl.succeeds("get", "serviceaccount", "default", "--namespace=default")

    def _clear(self) -> None:
        kill_processes(recorded_kwokctl(self._directory))
        kill_processes(reversed(recorded_processes(self._directory)))
        shutil.rmtree(self._directory, ignore_errors=True)

    def _kubectl(self) -> Kubectl:
        return kubectl_of_cluster(self._directory, self._existing_record())

    def _existing_record(self) -> ClusterRecord:
        record = read_record(self._directory)
        if record is None:
            raise ClusterNotRunningError(
                f"cluster {self.name!r} is not running: start it with `hopper local up --name {self.name}`"
            )
        return record

    def _arguments(self) -> dict[str, object]:
        return {"nodes": self._nodes, "extraArgs": {name: dict(args) for name, args in self._extra_args.items()}}

    def _already_running_message(self) -> str:
        message = f"Cluster {self.name!r} is already running"
        if self._existing_record().arguments != self._arguments():
            message += f" with other arguments: to change them, run `hopper local down --name {self.name}` first"
        return message

    @contextmanager
    def _locked(self, progress: Progress) -> Iterator[None]:
        def report_holder(holder: str) -> None:
            progress.note(f"Waiting for {holder}, which is starting or stopping cluster {self.name!r} ...")

        with file_lock(self._lock_file, report_holder, remove=True):
            yield


def _checked_args(extra_args: ExtraArgs) -> ExtraArgs:
    for component in extra_args:
        if component not in COMPONENTS:
            raise ClusterStartError(f"extra_args: unknown component {component!r}: use one of {', '.join(COMPONENTS)}")
    return extra_args
