"""Which node image a cluster starts from: the user's, one that can be pulled, or one put together here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hopper.local.errors import ProviderError
from hopper.local.kind import assembly
from hopper.local.kind.docker import Docker
from hopper.local.kind.pulling import pull
from hopper.local.kind.sources import kind_sources
from hopper.local.progress import Progress

OWN_IMAGE = "HOPPER_KIND_IMAGE"


@dataclass(frozen=True)
class NodeImage:
    """An image that the engine has. An assembled one brings its own network plugin."""

    name: str
    assembled: bool


def choose(docker: Docker, cache: Path, progress: Progress, *, may_assemble: bool) -> NodeImage:
    """The first way that works. Raises BinariesError, DockerError, ProviderError."""
    if own := os.environ.get(OWN_IMAGE):
        return NodeImage(own, own.startswith("hopper.local/"))
    if docker.has_image(assembly.image_name()):
        return NodeImage(assembly.image_name(), assembled=True)
    default = kind_sources(cache, progress).default_image
    if pull(docker, default, progress):
        return NodeImage(default, assembled=False)
    if not may_assemble:
        raise ProviderError(
            f"the node image {default} cannot be pulled, and putting one together takes root: "
            f"set {OWN_IMAGE} to an image that is there, or let root do it once"
        )
    return NodeImage(assembly.assemble(docker, cache, progress), assembled=True)
