"""`hopper local`: a Kubernetes cluster on this machine."""

from __future__ import annotations

import json
import shlex
import shutil
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hopper.cli.reporting import reported

if TYPE_CHECKING:
    from hopper.local import Cluster, Status
    from hopper.local.progress import Progress

app = typer.Typer(
    help="A Kubernetes cluster on this machine, for trying things out and for tests.", no_args_is_help=True
)


class Provider(StrEnum):
    """What runs the cluster."""

    LOCAL = "local"
    KIND = "kind"
    CURRENT = "current"


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


Name = Annotated[str, typer.Option("--name", metavar="NAME", help="The cluster's name.")]
ProviderOption = Annotated[
    Provider | None,
    typer.Option(
        "--provider",
        help="local: plain processes, no Docker, no root. kind: real containers, needs Docker, or root to start it. "
        "current: whatever KUBECONFIG points at. Default: the one that started the cluster, else local.",
        show_default=False,
    ),
]


@app.command()
def up(
    name: Name = "hopper",
    provider: ProviderOption = None,
    nodes: Annotated[int, typer.Option("--nodes", min=0, metavar="N", help="Simulated nodes (local only).")] = 1,
) -> None:
    """Start a cluster, and print how to use it.

    The first start downloads or builds Kubernetes; any further one takes seconds.

        eval "$(hopper local up)"

        hopper local up --name second --nodes 5
    """
    with _reported() as progress:
        cluster = _cluster(name, provider, nodes)
        cluster.up(progress)
        if provider is not Provider.CURRENT:
            _print_exports(cluster)


@app.command()
def down(name: Name = "hopper", provider: ProviderOption = None) -> None:
    """Stop a cluster and remove everything that belongs to it."""
    with _reported() as progress:
        if not _cluster(name, provider).down(progress) and provider is not Provider.CURRENT:
            progress.note(f"Nothing to stop: there is no cluster {name!r}")


@app.command()
def status(
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="One cluster only; without it, all.")
    ] = None,
    provider: ProviderOption = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="How to print it.")] = Output.TABLE,
) -> None:
    """Show clusters. The exit code is 0 if all those shown run, else 1."""
    with _reported() as progress:
        from hopper.local import State

        found = [cluster.status() for cluster in _shown(name, provider)]
        if found or output is Output.JSON:
            _print_statuses(found, output)
        else:
            progress.note("There are no clusters. To start one: hopper local up")
        for entry in found:
            for problem in entry.problems:
                progress.note(f"{entry.name}: {problem}")
            if entry.state is State.STALE:
                progress.note(
                    f"{entry.name}: start it anew, empty, with `hopper local up --name {entry.name}`, "
                    f"or remove it with `hopper local down --name {entry.name}`"
                )
    if not found or not all(entry.running for entry in found):
        raise typer.Exit(1)


@app.command()
def kubeconfig(name: Name = "hopper", provider: ProviderOption = None) -> None:
    """Print the path of a running cluster's kubeconfig.

    export KUBECONFIG=$(hopper local kubeconfig)
    """
    with _reported():
        from hopper.local.errors import ClusterNotRunningError

        cluster = _cluster(name, provider)
        if not (found := cluster.status()).running:
            because = f" ({'; '.join(found.problems)})" if found.problems else ""
            raise ClusterNotRunningError(
                f"cluster {name!r} is {found.state}{because}: start it with `hopper local up --name {name}`"
            )
        typer.echo(cluster.kubeconfig)


@app.command()
def load(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Images of the cluster's Docker engine.")],
    name: Name = "hopper",
) -> None:
    """Make images known to the nodes of a kind cluster, which then need no registry.

    hopper local load hopper:dev
    """
    with _reported() as progress:
        from hopper.local.errors import ProviderError
        from hopper.local.kind.cluster import KindCluster

        cluster = _cluster(name, None)
        if not isinstance(cluster, KindCluster):
            raise ProviderError(
                f"cluster {name!r} runs no containers: only one of the provider kind has a use for images"
            )
        with progress.step(f"Loading {', '.join(images)}"):
            cluster.load(*images)


@app.command()
def build(
    provider: Annotated[Provider, typer.Option("--provider", help="What to get ready for.")] = Provider.LOCAL,
) -> None:
    """Get what `up` needs, and helm, and print where it is.

    From HOPPER_KUBE_BIN, else downloaded (HOPPER_DOWNLOAD_URL: a mirror, or none), else built from source.
    """
    with _reported() as progress:
        from hopper.local import binaries
        from hopper.local.catalogue import BINARIES, TOOLS
        from hopper.local.paths import cache_dir

        if provider is Provider.LOCAL:
            for name, path in binaries.ensure(cache_dir(), progress, (*BINARIES, *TOOLS)).items():
                typer.echo(f"{name}\t{path}")
        elif provider is Provider.KIND:
            from hopper.local.kind.cluster import prepare

            for name, value in prepare(cache_dir(), progress).items():
                typer.echo(f"{name}\t{value}")


def _cluster(name: str, provider: Provider | None, nodes: int = 1) -> Cluster:
    from hopper.local import open_cluster

    return open_cluster(name, provider and provider.value, nodes=nodes)


def _print_exports(cluster: Cluster) -> None:
    """What to type (or `eval`) for kubectl, helm and docker to use the cluster."""
    from hopper.local.kind.cluster import KindCluster

    typer.echo(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
    lacking = [name for name in ("kubectl", "helm") if shutil.which(name) is None]
    if directories := dict.fromkeys(directory for name in lacking for directory in _directories(name)):
        typer.echo(f"export PATH={':'.join(map(shlex.quote, directories))}:$PATH")
    if isinstance(cluster, KindCluster) and (socket := cluster.docker.socket):
        typer.echo(f"export DOCKER_HOST=unix://{shlex.quote(str(socket))}")


def _directories(name: str) -> list[str]:
    """Where a program of ours lies; empty where it was never built."""
    from hopper.local.binaries import find
    from hopper.local.errors import MissingBinaryError
    from hopper.local.paths import cache_dir

    try:
        return [str(find(name, cache_dir()).parent)]
    except MissingBinaryError:
        return []


def _shown(name: str | None, provider: Provider | None) -> list[Cluster]:
    from hopper.local import known_clusters

    if name is not None or provider is Provider.CURRENT:
        return [_cluster(name or "current", provider)]
    known = [_cluster(entry, None) for entry in known_clusters()]
    return [cluster for cluster in known if provider is None or cluster.provider == provider]


def _print_statuses(found: list[Status], output: Output) -> None:
    if output is Output.JSON:
        rows = [
            {
                "name": entry.name,
                "provider": entry.provider,
                "state": entry.state,
                "version": entry.version,
                "server": entry.server,
                "problems": list(entry.problems),
            }
            for entry in found
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    header = ("NAME", "PROVIDER", "STATE", "VERSION", "SERVER")
    rows_ = [(entry.name, entry.provider, entry.state, entry.version or "-", entry.server or "-") for entry in found]
    widths = [max(map(len, column)) for column in zip(header, *rows_, strict=True)]
    for row in (header, *rows_):
        typer.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _reported() -> AbstractContextManager[Progress]:
    return reported("Interrupted. The same command goes on with what is missing.")
