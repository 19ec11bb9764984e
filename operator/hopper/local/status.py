"""The state of a cluster, as it is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hopper.local import processes, record
from hopper.local.kubectl import Kubectl
from hopper.local.kwokctl import COMPONENTS, PORTS
from hopper.local.ports import port_is_free

KUBECONFIG = "kubeconfig"
_FILES = ("kwok.yaml", KUBECONFIG, "pki/ca.crt", "pki/admin.crt", "pki/admin.key")


class State(StrEnum):
    """Absent: nothing there. Changing: being started or stopped right now. Stale: neither whole nor gone."""

    ABSENT = "Absent"
    CHANGING = "Changing"
    RUNNING = "Running"
    STALE = "Stale"


@dataclass(frozen=True)
class Status:
    """What is known about a cluster. `problems` says what makes it stale."""

    name: str
    provider: str
    state: State
    version: str = ""
    server: str = ""
    problems: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        """Whether the cluster can be used."""
        return self.state is State.RUNNING


def inspect(name: str, directory: Path, provider: str) -> Status:
    """Look at the directory, the processes and the API server of a local cluster."""
    if not directory.exists():
        return Status(name, provider, State.ABSENT)
    found = record.read(directory)
    if found is None:
        problem = f"{directory} was left over by an interrupted start or stop"
        return Status(name, provider, State.STALE, problems=(problem,))
    problems = tuple(_problems(directory, found))
    state = State.STALE if problems else State.RUNNING
    return Status(name, provider, state, found.version, found.server, problems)


def kubectl_for(directory: Path, found: record.Record) -> Kubectl:
    """kubectl as recorded for the cluster."""
    return Kubectl(Path(found.binaries["kubectl"]), directory / KUBECONFIG, directory)


def _problems(directory: Path, found: record.Record) -> Iterator[str]:
    if not found.complete:
        yield "its start was interrupted"
    missing = [file for file in _FILES if not (directory / file).exists()]
    if missing:
        yield f"{', '.join(missing)} missing"
    dead = list(_dead(directory))
    for component in dead:
        yield f"{component} is not running"
        for option, owner in PORTS.items():
            port = found.ports.get(option)
            if owner == component and port and not port_is_free(port):
                yield f"another process has taken port {port} of {component}"
    if found.complete and not missing and not dead and not answers(directory, found):
        yield f"the API server does not answer at {found.server}"


def answers(directory: Path, found: record.Record) -> bool:
    """Whether the cluster's own API server (its certificate proves it) is ready."""
    try:
        return kubectl_for(directory, found).succeeds("get", "--raw=/readyz")
    except (OSError, KeyError):
        return False


def _dead(directory: Path) -> Iterator[str]:
    alive = {process.name for process in processes.recorded(directory) if process.alive}
    return (component for component in COMPONENTS if component not in alive)
