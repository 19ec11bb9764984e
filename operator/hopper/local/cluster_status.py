"""The status of a local cluster, derived from its files, its processes and its API server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hopper.local.cluster_files import KUBECONFIG_FILE, ClusterRecord, read_record
from hopper.local.kubectl import Kubectl
from hopper.local.kwokctl import COMPONENTS, PORTS
from hopper.local.loopback_ports import is_port_free
from hopper.local.processes import recorded_processes

_FILES = ("kwok.yaml", KUBECONFIG_FILE, "pki/ca.crt", "pki/admin.crt", "pki/admin.key")


class ClusterState(StrEnum):
    """State of a cluster. Changing: a start or stop is in progress. Stale: the cluster is incomplete or broken."""

    ABSENT = "Absent"
    CHANGING = "Changing"
    RUNNING = "Running"
    STALE = "Stale"


@dataclass(frozen=True)
class ClusterStatus:
    """Observed status of a cluster. `problems` are the reasons why the cluster is stale."""

    name: str
    provider: str
    state: ClusterState
    version: str = ""
    server: str = ""
    problems: tuple[str, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether the cluster is usable."""
        return self.state is ClusterState.RUNNING


def inspect_cluster(name: str, directory: Path, provider: str) -> ClusterStatus:
    """Return the status of the local cluster in `directory`."""
    if not directory.exists():
        return ClusterStatus(name, provider, ClusterState.ABSENT)
    record = read_record(directory)
    if record is None:
        problem = f"an interrupted start or stop left {directory} behind"
        return ClusterStatus(name, provider, ClusterState.STALE, problems=(problem,))
    problems = tuple(_problems(directory, record))
    state = ClusterState.STALE if problems else ClusterState.RUNNING
    return ClusterStatus(name, provider, state, record.version, record.server, problems)


def kubectl_of_cluster(directory: Path, record: ClusterRecord) -> Kubectl:
    """Return the kubectl that the cluster was started with."""
    return Kubectl(Path(record.binaries["kubectl"]), directory / KUBECONFIG_FILE, directory)


def is_api_server_ready(directory: Path, record: ClusterRecord) -> bool:
    """Whether the API server of this cluster is ready. Its certificate excludes any other server on the port."""
    try:
        return kubectl_of_cluster(directory, record).succeeds("get", "--raw=/readyz")
    except (OSError, KeyError):
        return False


def dead_components(directory: Path) -> list[str]:
    """Return the components of the cluster whose process is not alive."""
    alive = {process.name for process in recorded_processes(directory) if process.is_alive}
    return [component for component in COMPONENTS if component not in alive]


def _problems(directory: Path, record: ClusterRecord) -> Iterator[str]:
    if not record.complete:
        yield "its start was interrupted"
    missing = [file for file in _FILES if not (directory / file).exists()]
    if missing:
        yield f"missing files: {', '.join(missing)}"
    dead = dead_components(directory)
    for component in dead:
        yield f"{component} is not running"
        for option, owner in PORTS.items():
            port = record.ports.get(option)
            if owner == component and port and not is_port_free(port):
                yield f"another process has taken port {port} of {component}"
    if record.complete and not missing and not dead and not is_api_server_ready(directory, record):
        yield f"the API server does not answer at {record.server}"
