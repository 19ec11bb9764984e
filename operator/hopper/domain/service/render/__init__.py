"""Rendering of a blueprint into manifests for server-side apply. Equal blueprints give equal manifests."""

from dataclasses import dataclass

from hopper.api.resources import Manifest
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.render.deployment import render_deployment, restart_annotation
from hopper.domain.service.render.mode import Mode, mode_for
from hopper.domain.service.render.objects import (
    checksum_key,
    owner_reference,
    render_claims,
    render_config_map,
    render_ingress,
    render_secret,
    render_service,
)
from hopper.domain.service.revision import revision

__all__ = [
    "Manifest",
    "Mode",
    "RenderedObjects",
    "checksum_key",
    "mode_for",
    "owner_reference",
    "render_objects",
    "restart_annotation",
]


@dataclass(frozen=True, slots=True)
class RenderedObjects:
    """Manifests of an instance in the order to apply them. Owned objects that are not among them are deleted."""

    objects: tuple[Manifest, ...]
    revision: str
    warnings: tuple[str, ...] = ()


def render_objects(blueprint: Blueprint, mode: Mode) -> RenderedObjects:
    """Return the manifests of an instance in this mode.

    Raises:
        ValueError: The blueprint has problems.
    """
    if blueprint.problems:
        raise ValueError("; ".join(map(str, blueprint.problems)))
    return RenderedObjects(tuple(_manifests(blueprint, mode)), revision(blueprint), blueprint.warnings)


def _manifests(blueprint: Blueprint, mode: Mode) -> list[Manifest]:
    if mode.is_final:
        return render_claims(blueprint)
    # The Deployment comes last: if the API server rejects another object, the running pods do not change.
    manifests = (
        render_secret(blueprint),
        render_config_map(blueprint),
        *render_claims(blueprint),
        render_service(blueprint, mode),
        render_ingress(blueprint),
        render_deployment(blueprint, mode),
    )
    return [manifest for manifest in manifests if manifest is not None]
