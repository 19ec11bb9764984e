"""`hopper render` and `hopper diff`: the objects that the operator applies, and their changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hopper.cli.cluster_session import report_error, run_with_cluster
from hopper.cli.options import Prefix

if TYPE_CHECKING:
    from hopper.adapters.kube import KubeClient
    from hopper.api.resources import Manifest
    from hopper.cli.manifest_set import ManifestSet
    from hopper.domain.service.blueprint import Blueprint

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[INSTANCE]...", help="Names of instances. Default: all.", show_default=False),
]
Files = Annotated[
    list[str] | None,
    typer.Option(
        "--filename",
        "-f",
        help="File or directory with instances and templates, or - for standard input. Repeat for more.",
    ),
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Default: the namespace of the current context.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Show the origin of each value.")]
ShowSecrets = Annotated[bool, typer.Option("--show-secrets", help="Show the values of Secrets.")]

_MASK = "***"


def print_objects(
    instances: Names = None,
    filename: Files = None,
    namespace: Namespace = None,
    explain: Explain = False,
    show_secrets: ShowSecrets = False,
    prefix: Prefix = "hopper",
) -> None:
    """Print the objects that the operator applies for instances.

    Files are rendered without a cluster. The uids are zeros then. The checksum of the pods differs from that of live
    pods if the instance has secret values, because its key is in the Secret of the live instance.

    Examples:

      hopper render web-front                    # a live instance

      hopper render -f template.yaml -f web.yaml # all instances in the files, without a cluster

      hopper render web-front --explain          # the origin of each value: template, override, default, ancestor
    """
    from hopper.cli.manifest_set import rendered_objects
    from hopper.cli.manifest_yaml import yaml_documents

    manifests, blueprints, has_errors = _load_blueprints(instances, filename, namespace, prefix)
    for blueprint in blueprints:
        if explain:
            typer.echo(_explanation(blueprint, manifests))
            continue
        objects = rendered_objects(blueprint)
        for document in yaml_documents(objects if show_secrets else map(_mask_secret, objects)):
            typer.echo(document, nl=False)
    if has_errors:
        raise typer.Exit(2)


def print_diff(
    instances: Names = None,
    filename: Files = None,
    namespace: Namespace = None,
    explain: Explain = False,
    show_secrets: ShowSecrets = False,
    prefix: Prefix = "hopper",
) -> None:
    """Compare the objects that the operator would apply with the live objects.

    Without files, show the drift of live instances. With files, show the changes of these files.

    Like `kubectl diff`, exit with 0 without differences and with 1 otherwise. Exit with 2 if an instance cannot be
    rendered.

    Examples:

      hopper diff web-front                      # drift of an instance

      hopper diff -f web.yaml --explain          # changes of a file, and the origin of the values
    """
    from hopper.cli.live_diff import diff_against_cluster

    async def compare(kube: KubeClient, current_namespace: str) -> int:
        manifests = await _load_from_cluster(kube, filename, namespace, current_namespace)
        has_differences = False
        blueprints, has_errors = _select_blueprints(manifests, instances, prefix)
        for blueprint in blueprints:
            diff = await diff_against_cluster(kube, blueprint, mask=None if show_secrets else _MASK)
            if diff:
                typer.echo(diff)
                has_differences = True
            if diff and explain:
                typer.echo(_explanation(blueprint, manifests))
        return 2 if has_errors else int(has_differences)

    raise typer.Exit(run_with_cluster(compare))


def _load_blueprints(
    instances: list[str] | None, filename: list[str] | None, namespace: str | None, prefix: str
) -> tuple[ManifestSet, list[Blueprint], bool]:
    from hopper.cli.manifest_reader import ManifestError
    from hopper.cli.manifest_set import manifests_from_files

    if filename:
        try:
            manifests = manifests_from_files(filename, namespace, "default")
            return manifests, *_select_blueprints(manifests, instances, prefix)
        except ManifestError as error:
            raise report_error(error) from error

    async def load(kube: KubeClient, current_namespace: str) -> tuple[ManifestSet, list[Blueprint], bool]:
        from hopper.cli.live_diff import with_checksum_key

        manifests = await _load_from_cluster(kube, None, namespace, current_namespace)
        blueprints, has_errors = _select_blueprints(manifests, instances, prefix)
        return manifests, [await with_checksum_key(kube, blueprint) for blueprint in blueprints], has_errors

    return run_with_cluster(load)


async def _load_from_cluster(
    kube: KubeClient, filename: list[str] | None, namespace: str | None, current_namespace: str
) -> ManifestSet:
    """Return the live instances and templates, changed by those in the files."""
    from hopper.cli.manifest_set import manifests_from_cluster, manifests_from_files

    if not filename:
        return await manifests_from_cluster(kube, namespace or current_namespace)
    changes = manifests_from_files(filename, namespace, current_namespace)
    manifests = await manifests_from_cluster(kube, changes.namespace)
    manifests.overlay(changes)
    return manifests


def _select_blueprints(manifests: ManifestSet, names: list[str] | None, prefix: str) -> tuple[list[Blueprint], bool]:
    """Return the blueprints of the instances, and whether others cannot be rendered. Print the errors of those."""
    from hopper.cli.manifest_reader import ManifestError

    blueprints, has_errors = [], False
    for name in names or sorted(set(manifests.selected)):
        try:
            if (blueprint := _blueprint_of(manifests, name, prefix, is_requested=bool(names))) is not None:
                blueprints.append(blueprint)
        except ManifestError as error:
            typer.echo(f"error: {error}", err=True)
            has_errors = True
    return blueprints, has_errors


def _blueprint_of(manifests: ManifestSet, name: str, prefix: str, *, is_requested: bool) -> Blueprint | None:
    """Return the blueprint of an instance, or None for an instance without template that was not requested by name.

    Raises `ManifestError`.
    """
    from hopper.api.names import INSTANCE_KIND
    from hopper.cli.manifest_reader import ManifestError

    instance = manifests.instances.get(name)
    if instance is None:
        if problem := manifests.problems.get((INSTANCE_KIND, name)):
            raise ManifestError(f"{name}: {problem}")
        raise ManifestError(f'HopperInstance "{name}" not found: list the instances with kubectl get hopperinstances')
    if not is_requested and instance.spec.template_ref is None:
        return None
    if missing := manifests.missing_ancestor(instance):
        typer.echo(
            f'warning: {name}: spec.parentRef.name: ancestor "{missing}" not found: '
            "names and inherited values may differ",
            err=True,
        )
    return manifests.blueprint(instance, prefix)


def _explanation(blueprint: Blueprint, manifests: ManifestSet) -> str:
    """Return the path and the origin of every value, without the values because some are secret.

    Inherited configuration is included, because templates of files can use it.
    """
    from hopper.domain.service.explain import explain
    from hopper.domain.service.merge import Origin

    values = explain(blueprint, manifests.ancestors(blueprint.instance))
    inherited = {
        value.path: f"{value.origin} from {value.source}" for value in values if value.origin is Origin.INHERITED
    }
    origins: dict[str, str] = {**blueprint.effective.provenance, **inherited}
    width = max(map(len, origins), default=0)
    lines = [f"{path:<{width}}  {origin}" for path, origin in sorted(origins.items())]
    removals = [f"{path:<{width}}  removed by override" for path in blueprint.effective.removed]
    removals += [f"{path:<{width}}  nothing to remove" for path in blueprint.effective.unmatched_removals]
    return "\n".join([f"# {blueprint.instance.name}", *lines, *removals])


def _mask_secret(manifest: Manifest) -> Manifest:
    if manifest["kind"] != "Secret":
        return manifest
    return {**manifest, "data": dict.fromkeys(manifest["data"], _MASK)}
