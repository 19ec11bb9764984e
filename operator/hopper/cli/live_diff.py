"""The changes that the operator would apply, as a unified diff between live and rendered objects.

The diff covers the rendered fields only, because other fields of a live object do not belong to the operator.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

import yaml

from hopper.api.names import LABEL_INSTANCE, LABEL_MANAGED_BY, MANAGED_BY
from hopper.api.resources import OWNED_RESOURCES, Manifest, ObjectKey
from hopper.cli.manifest_set import current_mode, rendered_objects
from hopper.domain.service.drift import drifted_paths, manifest_to_apply
from hopper.domain.service.render import checksum_key
from hopper.domain.service.rollout import keep_running_pods
from hopper.ports import NotFoundError, RefusedError

if TYPE_CHECKING:
    from hopper.adapters.kube import KubeClient
    from hopper.domain.service.blueprint import Blueprint

_CLAIM = "PersistentVolumeClaim"


async def diff_against_cluster(kube: KubeClient, blueprint: Blueprint, *, mask: str | None) -> str:
    """Return the diff of one instance, or an empty string without changes.

    `mask` replaces the values of Secrets, unless it is None.
    """
    namespace, mode = blueprint.instance.namespace, current_mode(blueprint)
    blueprint = await with_checksum_key(kube, blueprint)
    rendered = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in rendered_objects(blueprint)}
    diffs = []
    for (kind, name), manifest in rendered.items():
        live = await _live_object(kube, kind, namespace, name)
        if live is None and mode.is_final:
            continue
        if live is not None and kind == "Deployment":
            manifest = keep_running_pods(blueprint, mode, manifest, live)
        target = manifest_to_apply(manifest, live, mode) if live else manifest
        if live is None or drifted_paths(target, live):
            diffs.append(_diff(kind, name, _select_rendered(live, target) if live else None, target, mask))
    for kind, name in await _objects_to_remove(kube, blueprint, set(rendered)):
        diffs.append(f"--- live {kind}/{name}\n+++ removed")
    return "\n".join(diffs)


async def with_checksum_key(kube: KubeClient, blueprint: Blueprint) -> Blueprint:
    """Return the blueprint with the key of the checksum, if the caller may read the Secret of the instance."""
    if not blueprint.has_secret_values:
        return blueprint
    try:
        secret = await _live_object(kube, "Secret", blueprint.instance.namespace, blueprint.names.base)
    except RefusedError:
        return blueprint
    return replace(blueprint, checksum_key=checksum_key(secret))


async def _live_object(kube: KubeClient, kind: str, namespace: str, name: str) -> Manifest | None:
    resource = OWNED_RESOURCES[kind]
    try:
        return await kube.request("GET", resource.path(namespace, name), resource=resource.plural)
    except NotFoundError:
        return None


async def _objects_to_remove(kube: KubeClient, blueprint: Blueprint, rendered: set[ObjectKey]) -> list[ObjectKey]:
    from hopper.adapters.lists import KubeLister

    instance = blueprint.instance
    selector = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_INSTANCE}={instance.name}"
    removed = []
    for kind, resource in OWNED_RESOURCES.items():
        if kind == _CLAIM:
            continue  # The operator keeps claims that the template no longer has.
        async for chunk in KubeLister(kube).chunks(resource, instance.namespace, selector):
            keys = ((kind, item["metadata"]["name"]) for item in chunk.items)
            removed += [key for key in keys if key not in rendered]
    return removed


def _select_rendered(live: Any, rendered: Any) -> Any:
    """Return the fields of a live value that the rendered value sets."""
    if isinstance(rendered, dict) and isinstance(live, dict):
        return {key: _select_rendered(live[key], value) for key, value in rendered.items() if key in live}
    if isinstance(rendered, list) and isinstance(live, list):
        items = [_select_rendered(*pair) for pair in zip(live, rendered, strict=False)]
        return items + live[len(rendered) :]
    return live


def _diff(kind: str, name: str, live: Manifest | None, rendered: Manifest, mask: str | None) -> str:
    if kind == "Secret" and mask:
        live, rendered = _mask_both(live, rendered, mask)
    before = yaml.safe_dump(live, sort_keys=True).splitlines() if live else []
    after = yaml.safe_dump(rendered, sort_keys=True).splitlines()
    lines = unified_diff(before, after, f"live {kind}/{name}", f"rendered {kind}/{name}", lineterm="")
    return "\n".join(lines)


def _mask_both(live: Manifest | None, rendered: Manifest, mask: str) -> tuple[Manifest | None, Manifest]:
    """Replace the values of both Secrets by masks, which differ where the values differ."""
    live_data, rendered_data = (live or {}).get("data", {}), rendered["data"]
    before = {key: mask if rendered_data.get(key) == value else f"{mask} (before)" for key, value in live_data.items()}
    after = {key: mask if live_data.get(key) == value else f"{mask} (after)" for key, value in rendered_data.items()}
    return ({**live, "data": before} if live else None), {**rendered, "data": after}
