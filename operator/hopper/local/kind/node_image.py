"""Which node image a cluster starts from: the user's, one that can be pulled, or one put together here."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hopper.local.errors import DockerError, ProviderError
from hopper.local.kind import assembly
from hopper.local.kind.docker import Docker, program
from hopper.local.kind.sources import kind_sources
from hopper.local.progress import Progress

OWN_IMAGE = "HOPPER_KIND_IMAGE"
_PULL_SECONDS = 60.0
# An unreachable registry must not hold anybody up for long.
_ANSWER_WITHIN = 20.0


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
    if docker.has_image(default) or _pulled(docker, default, progress):
        return NodeImage(default, assembled=False)
    if not may_assemble:
        raise ProviderError(
            f"the node image {default} cannot be pulled, and putting one together takes root: "
            f"set {OWN_IMAGE} to an image that is there, or let root do it once"
        )
    return NodeImage(assembly.assemble(docker, cache, progress), assembled=True)


def _pulled(docker: Docker, image: str, progress: Progress) -> bool:
    if (why := _out_of_reach(docker, image)) is not None:
        progress.note(f"{image.partition('@')[0]} cannot be pulled ({why}): putting a node image together instead")
        return False
    try:
        with progress.step(f"Pulling {image.partition('@')[0]}", _PULL_SECONDS):
            docker("pull", "--quiet", image)
    except DockerError as error:
        progress.note(str(error))
        return False
    return True


def _out_of_reach(docker: Docker, image: str) -> str | None:
    """None if the registry shows the image, else what it says."""
    command = [program("docker"), "manifest", "inspect", image]
    # Some versions of docker keep this command behind a setting.
    environment = {**docker.environment, "DOCKER_CLI_EXPERIMENTAL": "enabled"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_ANSWER_WITHIN
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_ANSWER_WITHIN:.0f} s"
    return (done.stderr.strip().splitlines() or ["no such image"])[-1] if done.returncode else None
