"""Images from a registry, which may be out of reach."""

from __future__ import annotations

import subprocess

from hopper.local.errors import DockerError
from hopper.local.kind.docker import Docker, program
from hopper.local.progress import Progress

_PULL_SECONDS = 60.0
# A registry that does not answer must not hold anybody up for long.
_ANSWER_WITHIN = 20.0


def pull(docker: Docker, image: str, progress: Progress) -> bool:
    """Have the image from its registry. Returns whether that is so; if not, `progress` is told why."""
    if docker.has_image(image):
        return True
    if (why := _out_of_reach(docker, image)) is not None:
        progress.note(f"{image.partition('@')[0]} cannot be pulled ({why})")
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
