"""`hopper local`: Kubernetes clusters on this machine."""

from __future__ import annotations

import json
import shlex
import shutil
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hopper.cli.error_reporting import report_local_errors
from hopper.cli.tables import print_table

if TYPE_CHECKING:
    from hopper.local import Cluster, ClusterStatus
    from hopper.local.progress import Progress

app = typer.Typer(help="Manage Kubernetes clusters on this machine.", no_args_is_help=True)


class ProviderOption(StrEnum):
    """Values of --provider."""

    LOCAL = "local"
    KIND = "kind"
    CURRENT = "current"


class StatusFormat(StrEnum):
    """Values of `hopper local status --output`."""

    TABLE = "table"
    JSON = "json"


Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the cluster.")]
Provider = Annotated[
    ProviderOption | None,
    typer.Option(
        "--provider",
        help="local: plain processes, without Docker and root. kind: containers, needs Docker. current: the cluster "
        "of KUBECONFIG. Default: the provider that started the cluster, else local.",
        show_default=False,
    ),
]


@app.command("up")
def start_cluster(
    name: Name = "hopper",
    provider: Provider = None,
    nodes: Annotated[
        int, typer.Option("--nodes", min=0, metavar="N", help="Number of simulated nodes (local only).")
    ] = 1,
) -> None:
    """Start a cluster and print the shell commands to use it.

    The first start downloads or builds Kubernetes. Later starts take seconds.

    Examples:

        eval "$(hopper local up)"

        hopper local up --name second --nodes 5
    """
    with _report_errors() as progress:
        cluster = _open_cluster(name, provider, nodes)
        cluster.up(progress)
        if provider is not ProviderOption.CURRENT:
            _print_exports(cluster)


@app.command("down")
def stop_cluster(name: Name = "hopper", provider: Provider = None) -> None:
    """Stop a cluster and remove all its files and containers."""
    with _report_errors() as progress:
        if not _open_cluster(name, provider).down(progress) and provider is not ProviderOption.CURRENT:
            progress.note(f"Nothing to stop: cluster {name!r} does not exist")


@app.command("status")
def show_clusters(
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Show this cluster only.")] = None,
    provider: Provider = None,
    output: Annotated[StatusFormat, typer.Option("--output", "-o", help="Output format.")] = StatusFormat.TABLE,
) -> None:
    """Show clusters. The exit code is 0 if all shown clusters are running, else 1."""
    with _report_errors() as progress:
        from hopper.local import ClusterState

        statuses = [cluster.status() for cluster in _selected_clusters(name, provider)]
        if statuses or output is StatusFormat.JSON:
            _print_statuses(statuses, output)
        else:
            progress.note("There are no clusters. Start one with `hopper local up`")
        for status in statuses:
            for problem in status.problems:
                progress.note(f"{status.name}: {problem}")
            if status.state is ClusterState.STALE:
                progress.note(
                    f"{status.name}: replace it with an empty one: `hopper local up --name {status.name}`, "
                    f"or remove it: `hopper local down --name {status.name}`"
                )
    if not statuses or not all(status.is_running for status in statuses):
        raise typer.Exit(1)


@app.command("kubeconfig")
def print_kubeconfig(name: Name = "hopper", provider: Provider = None) -> None:
    """Print the path of a running cluster's kubeconfig.

    Example:

        export KUBECONFIG=$(hopper local kubeconfig)
    """
    with _report_errors():
        from hopper.local.errors import ClusterNotRunningError

        cluster = _open_cluster(name, provider)
        if not (status := cluster.status()).is_running:
            problems = f" ({'; '.join(status.problems)})" if status.problems else ""
            raise ClusterNotRunningError(
                f"cluster {name!r} is {status.state}{problems}: start it with `hopper local up --name {name}`"
            )
        typer.echo(cluster.kubeconfig)


@app.command("load")
def load_images(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Images of the container engine.")],
    name: Name = "hopper",
) -> None:
    """Copy images from the container engine to the nodes of a kind cluster, so that no registry is needed.

    Example:

        hopper local load hopper:dev
    """
    with _report_errors() as progress:
        from hopper.local.errors import ProviderError
        from hopper.local.kind_cluster import KindCluster

        cluster = _open_cluster(name, None)
        if not isinstance(cluster, KindCluster):
            raise ProviderError(
                f"cluster {name!r} runs no containers: images can be loaded into clusters of --provider kind only"
            )
        with progress.step(f"Loading {', '.join(images)}"):
            cluster.load(*images)


@app.command("build")
def get_binaries(
    provider: Annotated[
        ProviderOption, typer.Option("--provider", help="Provider whose binaries to get.")
    ] = ProviderOption.LOCAL,
) -> None:
    """Get the binaries that `up` needs, and helm, and print their paths.

    The binaries come from HOPPER_KUBE_BIN, else from the official sites or the mirror HOPPER_DOWNLOAD_URL, else they
    are built from source.
    """
    with _report_errors() as progress:
        from hopper.local.binaries import ensure_binaries
        from hopper.local.binary_catalogue import CLUSTER_BINARIES, TOOL_BINARIES
        from hopper.local.cluster_files import cache_dir
        from hopper.local.kind_cluster import KIND_TOOLS

        binaries = {
            ProviderOption.LOCAL: (*CLUSTER_BINARIES, *TOOL_BINARIES),
            ProviderOption.KIND: (*KIND_TOOLS, *TOOL_BINARIES),
            ProviderOption.CURRENT: (),
        }[provider]
        for name, path in ensure_binaries(cache_dir(), progress, binaries).items():
            typer.echo(f"{name}\t{path}")


def _open_cluster(name: str, provider: ProviderOption | None, nodes: int = 1) -> Cluster:
    from hopper.local import open_cluster

    return open_cluster(name, provider and provider.value, nodes=nodes)


def _print_exports(cluster: Cluster) -> None:
    """Print the shell commands that make kubectl and helm use the cluster."""
    typer.echo(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
    missing = [program for program in ("kubectl", "helm") if shutil.which(program) is None]
    if directories := dict.fromkeys(directory for program in missing for directory in _directories_of(program)):
        typer.echo(f"export PATH={':'.join(map(shlex.quote, directories))}:$PATH")


def _directories_of(program: str) -> list[str]:
    """Return the directory of a program as a list, which is empty if the program was never built or downloaded."""
    from hopper.local.binaries import find_program
    from hopper.local.cluster_files import cache_dir
    from hopper.local.errors import MissingBinaryError

    try:
        return [str(find_program(program, cache_dir()).parent)]
    except MissingBinaryError:
        return []


def _selected_clusters(name: str | None, provider: ProviderOption | None) -> list[Cluster]:
    from hopper.local import known_clusters

    if name is not None or provider is ProviderOption.CURRENT:
        return [_open_cluster(name or "current", provider)]
    clusters = [_open_cluster(known, None) for known in known_clusters()]
    return [cluster for cluster in clusters if provider is None or cluster.provider == provider]


def _print_statuses(statuses: list[ClusterStatus], output: StatusFormat) -> None:
    if output is StatusFormat.JSON:
        objects = [
            {
                "name": status.name,
                "provider": status.provider,
                "state": status.state,
                "version": status.version,
                "server": status.server,
                "problems": list(status.problems),
            }
            for status in statuses
        ]
        typer.echo(json.dumps(objects, indent=2))
        return
    header = ("NAME", "PROVIDER", "STATE", "VERSION", "SERVER")
    rows = [
        (status.name, status.provider, status.state, status.version or "-", status.server or "-") for status in statuses
    ]
    print_table([header, *rows], gap="   ")


def _report_errors() -> AbstractContextManager[Progress]:
    return report_local_errors("Interrupted. Run the same command again to continue.")
