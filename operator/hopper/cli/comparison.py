"""What an apply would change, as a unified diff of what is rendered against the same fields of what is live."""

from __future__ import annotations

from difflib import unified_diff
from typing import TYPE_CHECKING, Any

import yaml

from hopper.api.names import LABEL_INSTANCE, LABEL_MANAGED_BY, MANAGED_BY
from hopper.api.resources import OWNED_RESOURCES, Manifest, ObjectKey
from hopper.cli.manifests import objects_of, present_mode
from hopper.domain.service.drift import drifted_paths, manifest_to_apply
from hopper.ports import NotFoundError

if TYPE_CHECKING:
    from hopper.adapters.kube import KubeClient
    from hopper.domain.service.blueprint import Blueprint

_CLAIM = "PersistentVolumeClaim"


async def compare(kube: KubeClient, blueprint: Blueprint, *, mask: str | None) -> str:
    """Return the diff for one instance, empty where there is none. `mask` stands for the values of Secrets."""
    wanted = {(it["kind"], it["metadata"]["name"]): it for it in objects_of(blueprint)}
    parts, mode = [], present_mode(blueprint)
    for (kind, name), manifest in wanted.items():
        live = await _live(kube, kind, blueprint.instance.namespace, name)
        if live is None and mode.is_final:
            continue
        possible = manifest_to_apply(manifest, live, mode) if live else manifest
        if live is None or drifted_paths(possible, live):
            parts.append(_diff(kind, name, _projected(live, possible) if live else None, possible, mask))
    for kind, name in await _superfluous(kube, blueprint, set(wanted)):
        parts.append(f"--- live {kind}/{name}\n+++ removed")
    return "\n".join(parts)


async def _live(kube: KubeClient, kind: str, namespace: str, name: str) -> Manifest | None:
    resource = OWNED_RESOURCES[kind]
    try:
        return await kube.request("GET", resource.path(namespace, name), resource=resource.plural)
    except NotFoundError:
        return None


async def _superfluous(kube: KubeClient, blueprint: Blueprint, wanted: set[ObjectKey]) -> list[ObjectKey]:
    from hopper.adapters.lists import KubeLister

    instance = blueprint.instance
    selector = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_INSTANCE}={instance.name}"
    found = []
    for kind, resource in OWNED_RESOURCES.items():
        if kind == _CLAIM:
            continue  # kept, whatever the template says
        async for part in KubeLister(kube).chunks(resource, instance.namespace, selector):
            names = ((kind, raw["metadata"]["name"]) for raw in part.items)
            found += [key for key in names if key not in wanted]
    return found


def _projected(live: Any, rendered: Any) -> Any:
    """Reduce a live value to what the rendered one speaks of."""
    if isinstance(rendered, dict) and isinstance(live, dict):
        return {key: _projected(live[key], value) for key, value in rendered.items() if key in live}
    if isinstance(rendered, list) and isinstance(live, list):
        pairs = [_projected(have, want) for have, want in zip(live, rendered, strict=False)]
        return pairs + live[len(rendered) :]
    return live


def _diff(kind: str, name: str, live: Manifest | None, rendered: Manifest, mask: str | None) -> str:
    if kind == "Secret" and mask:
        live, rendered = _masked(live, rendered, mask)
    before = yaml.safe_dump(live, sort_keys=True).splitlines() if live else []
    after = yaml.safe_dump(rendered, sort_keys=True).splitlines()
    lines = unified_diff(before, after, f"live {kind}/{name}", f"rendered {kind}/{name}", lineterm="")
    return "\n".join(lines)


def _masked(live: Manifest | None, rendered: Manifest, mask: str) -> tuple[Manifest | None, Manifest]:
    """Hide the values, but show which of them differ."""
    have, want = (live or {}).get("data", {}), rendered["data"]
    before = {key: mask if want.get(key) == value else f"{mask} (before)" for key, value in have.items()}
    after = {key: mask if have.get(key) == value else f"{mask} (after)" for key, value in want.items()}
    return ({**live, "data": before} if live else None), {**rendered, "data": after}
