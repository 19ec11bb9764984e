"""Blueprint → plain manifests, ready for server-side apply. The same blueprint always gives the same manifests."""

from dataclasses import dataclass

from hopper.api.resources import Manifest
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.render.deployment import deployment, restarts_of
from hopper.domain.service.render.meta import owner_reference
from hopper.domain.service.render.mode import Mode, mode_of
from hopper.domain.service.render.network import ingress, service
from hopper.domain.service.render.storage import claims, config_map, secret
from hopper.domain.service.revision import revision

__all__ = ["Manifest", "Mode", "Rendered", "mode_of", "owner_reference", "render", "restarts_of"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of an instance, in the order in which to apply them; what is no longer among them is to go."""

    objects: tuple[Manifest, ...]
    revision: str
    warnings: tuple[str, ...] = ()


def render(blueprint: Blueprint, mode: Mode) -> Rendered:
    """Render what an instance is to have in this mode. Raises `ValueError` for a blueprint that has problems."""
    if blueprint.problems:
        raise ValueError("; ".join(map(str, blueprint.problems)))
    return Rendered(tuple(_objects(blueprint, mode)), revision(blueprint), blueprint.warnings)


def _objects(blueprint: Blueprint, mode: Mode) -> list[Manifest]:
    if mode.is_ended:
        return claims(blueprint)
    made = (secret(blueprint), config_map(blueprint), *claims(blueprint))
    # What is refused is not to change what runs: so the pods come last.
    made = (*made, service(blueprint, mode), ingress(blueprint), deployment(blueprint, mode))
    return [one for one in made if one is not None]
