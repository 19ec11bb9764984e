"""Images of a container engine: pulled from a registry, or built from the recipes in `recipes/`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hopper.local.docker import Docker
from hopper.local.errors import DockerError
from hopper.local.progress import Progress
from tests.kind.host_programs import find_program

_RECIPES = Path(__file__).parent / "recipes"
_USUAL_PULL_SECONDS = 60.0
# An unreachable registry must not delay the fallback for long.
_REGISTRY_TIMEOUT_SECONDS = 20.0


def has_image(docker: Docker, image: str) -> bool:
    """Whether the container engine has the image."""
    return bool(docker("image", "ls", "--quiet", image).strip())


def pull_image(docker: Docker, image: str, progress: Progress) -> bool:
    """Pull the image unless the engine has it. Return whether the engine has it now, and report why not."""
    if has_image(docker, image):
        return True
    title = image.partition("@")[0]
    if (reason := _why_unavailable(docker, image)) is not None:
        progress.note(f"{title} cannot be pulled ({reason})")
        return False
    try:
        with progress.step(f"Pulling {title}", _USUAL_PULL_SECONDS):
            docker("pull", "--quiet", image)
    except DockerError as error:
        progress.note(str(error))
        return False
    return True


def build_image(docker: Docker, context: Path, image: str, base: str = "") -> None:
    """Build an image. `base` is the value of the build argument DEBIAN.

    The build uses the network of this machine, because a name server on loopback is unreachable from any other.
    Raises DockerError.
    """
    arguments = [f"--build-arg=DEBIAN={base}"] if base else []
    docker("build", "--quiet", "--network=host", f"--tag={image}", *arguments, str(context))


def recipe_content(name: str) -> bytes:
    """Return the content of all files of a recipe, to detect changes."""
    files = sorted((_RECIPES / name).iterdir(), key=lambda file: file.name)
    return b"\0".join(file.read_bytes() for file in files)


def copy_recipe(name: str, scratch: Path) -> Path:
    """Copy a recipe into a new directory in `scratch`, and return it as a build context."""
    context = scratch / name
    context.mkdir()
    for file in (_RECIPES / name).iterdir():
        (context / file.name).write_bytes(file.read_bytes())
    return context


def _why_unavailable(docker: Docker, image: str) -> str | None:
    """Return the reason why the registry does not offer the image, or None if it does."""
    # Old versions of docker hide this command behind the variable.
    environment = {**docker.environment, "DOCKER_CLI_EXPERIMENTAL": "enabled"}
    try:
        result = subprocess.run(
            [find_program("docker"), "manifest", "inspect", image],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_REGISTRY_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_REGISTRY_TIMEOUT_SECONDS:.0f} s"
    return (result.stderr.strip().splitlines() or ["no such image"])[-1] if result.returncode else None
