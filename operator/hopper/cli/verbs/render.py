"""`hopper render` and `hopper diff`: what the operator applies for an instance, and what would change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from hopper.cli.options import Prefix

if TYPE_CHECKING:
    from hopper.adapters.kube import KubeClient
    from hopper.cli.manifests import Manifests
    from hopper.domain.service.blueprint import Blueprint

T = TypeVar("T")

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[INSTANCE]...", help="Names of instances.", show_default=False)
]
Files = Annotated[
    list[str] | None,
    typer.Option(
        "--filename",
        "-f",
        help="Read instances and templates from a file, a directory or standard input (-); repeat for more.",
    ),
]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Default: the current one.")]
Explain = Annotated[bool, typer.Option("--explain", help="Tell where each value comes from.")]
ShowSecrets = Annotated[bool, typer.Option("--show-secrets", help="Print the values of Secrets.")]

_MASK = "***"
_MISSING = '"{}", which is above it (spec.parentRef.name), is not there: with it, names and inherited values may differ'


def render(
    instances: Names = None,
    filename: Files = None,
    namespace: Namespace = None,
    explain: Explain = False,
    show_secrets: ShowSecrets = False,
    prefix: Prefix = "hopper",
) -> None:
    """Print the objects exactly as the operator applies them.

    With files, no cluster is needed: uids are zeros then, and the pods' checksum, which is made with them, differs.

    Examples:

      hopper render web-front                    # what the operator applies for a live instance

      hopper render -f template.yaml -f web.yaml # offline, all instances in the files

      hopper render web-front --explain          # which value came from template, override, default, ancestor
    """
    from hopper.cli.yaml_output import documents

    found, chosen, failed = _blueprints(instances, filename, namespace, prefix)
    for blueprint in chosen:
        if explain:
            typer.echo(_explained(blueprint, found))
            continue
        from hopper.cli.manifests import objects_of

        objects = objects_of(blueprint)
        for text in documents(objects if show_secrets else map(_masked, objects)):
            typer.echo(text, nl=False)
    if failed:
        raise typer.Exit(2)


def diff(
    instances: Names = None,
    filename: Files = None,
    namespace: Namespace = None,
    explain: Explain = False,
    show_secrets: ShowSecrets = False,
    prefix: Prefix = "hopper",
) -> None:
    """Compare what would be applied with what is in the cluster; like `kubectl diff`, end with 1 where they differ.

    Where some cannot be rendered, end with 2, after all the others.

    Without files, what live instances ask for; with files, what these files would change.

    Examples:

      hopper diff web-front                      # has anything drifted?

      hopper diff -f web.yaml --explain          # what would this file change, and where do the values come from
    """
    from hopper.cli.comparison import compare

    async def work(kube: KubeClient, current: str) -> int:
        found = await _load(kube, filename, namespace, current)
        differs = False
        chosen, failed = _choose(found, instances, prefix)
        for blueprint in chosen:
            text = await compare(kube, blueprint, mask=None if show_secrets else _MASK)
            if text:
                typer.echo(text)
                differs = True
            if text and explain:
                typer.echo(_explained(blueprint, found))
        return 2 if failed else int(differs)

    raise typer.Exit(_with_cluster(work))


def _blueprints(
    instances: list[str] | None, filename: list[str] | None, namespace: str | None, prefix: str
) -> tuple[Manifests, list[Blueprint], bool]:
    from hopper.cli.documents import ManifestError
    from hopper.cli.manifests import from_files

    if filename:
        try:
            found = from_files(filename, namespace, "default")
            return found, *_choose(found, instances, prefix)
        except ManifestError as error:
            raise _failed(error) from error

    async def work(kube: KubeClient, current: str) -> tuple[Manifests, list[Blueprint], bool]:
        live = await _load(kube, None, namespace, current)
        return live, *_choose(live, instances, prefix)

    return _with_cluster(work)


async def _load(kube: KubeClient, filename: list[str] | None, namespace: str | None, current: str) -> Manifests:
    """Read the cluster, and put the files over it."""
    from hopper.cli.manifests import from_cluster, from_files

    if not filename:
        return await from_cluster(kube, namespace or current)
    above = from_files(filename, namespace, current)
    found = await from_cluster(kube, above.namespace)
    found.overlay(above)
    return found


def _choose(found: Manifests, names: list[str] | None, prefix: str) -> tuple[list[Blueprint], bool]:
    """Return those that can be rendered, and whether there are others, which are told of."""
    from hopper.cli.documents import ManifestError

    chosen, failed = [], False
    for name in names or sorted(set(found.named)):
        try:
            if (blueprint := _blueprint(found, name, prefix, by_name=bool(names))) is not None:
                chosen.append(blueprint)
        except ManifestError as error:
            typer.echo(f"error: {error}", err=True)
            failed = True
    return chosen, failed


def _blueprint(found: Manifests, name: str, prefix: str, *, by_name: bool) -> Blueprint | None:
    """Return what an instance runs; None for a logical one that nobody has asked for. Raises `ManifestError`."""
    from hopper.cli.documents import ManifestError

    instance = found.instances.get(name)
    if instance is None:
        raise ManifestError(f"there is no HopperInstance {name!r}; see: kubectl get hopperinstances")
    if not by_name and instance.spec.template_ref is None:
        return None
    if missing := found.missing_ancestor(instance):
        typer.echo(f"warning: {name}: {_MISSING.format(missing)}", err=True)
    return found.blueprint(instance, prefix)


def _with_cluster(work: Callable[[KubeClient, str], Awaitable[T]]) -> T:
    from hopper.adapters.connection import NoClusterError, connect
    from hopper.adapters.kube import KubeClient
    from hopper.cli.documents import ManifestError
    from hopper.ports import ApiError

    async def run() -> T:
        connection = await connect()
        kube = KubeClient(connection.client())
        try:
            return await work(kube, connection.namespace)
        finally:
            await kube.close()

    try:
        return asyncio.run(run())
    except (NoClusterError, ManifestError, ApiError) as error:
        raise _failed(error) from error


def _failed(error: Exception) -> typer.Exit:
    typer.echo(f"error: {error}", err=True)
    return typer.Exit(2)


def _explained(blueprint: Blueprint, found: Manifests) -> str:
    """List every value's path with its origin; values are left out, so that secrets stay where they are.

    Of the configuration, which files may be rendered with, what is inherited.
    """
    from hopper.domain.service.explain import explain
    from hopper.domain.service.merge import Origin

    values = explain(blueprint, found.ancestors(blueprint.instance))
    inherited = {it.path: f"{it.origin} from {it.source}" for it in values if it.origin is Origin.INHERITED}
    provenance: dict[str, str] = {**blueprint.effective.provenance, **inherited}
    width = max(map(len, provenance), default=0)
    lines = [f"{path:<{width}}  {origin}" for path, origin in sorted(provenance.items())]
    removed = [f"{path:<{width}}  removed by override" for path in blueprint.effective.removed]
    removed += [f"{path:<{width}}  not there to be removed" for path in blueprint.effective.unmatched_removals]
    return "\n".join([f"# {blueprint.instance.name}", *lines, *removed])


def _masked(manifest: dict[str, Any]) -> dict[str, Any]:
    if manifest["kind"] != "Secret":
        return manifest
    return {**manifest, "data": dict.fromkeys(manifest["data"], _MASK)}
