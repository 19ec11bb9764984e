"""Running the docker command against one engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hopper.local.errors import DockerError
from hopper.local.kind import packages

_LAST_LINES = 15


@dataclass(frozen=True)
class Docker:
    """`docker`, and whatever talks to an engine as docker does. Without `socket`, the engine of the user's settings."""

    socket: Path | None = None

    def __call__(self, *args: str, input: bytes | None = None, check: bool = True) -> str:  # noqa: A002
        """Run docker with `input` on its standard input and return its standard output.

        Raises DockerError when it fails, unless `check` is off.
        """
        return self.run([program("docker"), *args], input=input, check=check)

    def run(self, command: list[str], *, input: bytes | None = None, check: bool = True) -> str:  # noqa: A002
        """Run any program that finds its engine by the environment, such as kind."""
        done = subprocess.run(
            command,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            env=self.environment,
            check=False,
        )
        output, errors = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
        if check and done.returncode:
            raise DockerError(f"{_shown(command)} failed:\n{_tail(errors or output)}")
        return output

    def answers(self) -> str | None:
        """None if an engine answers, else why not."""
        if (found := shutil.which("docker", path=packages.search_path())) is None:
            return "docker is not installed"
        told = subprocess.run(
            [found, "version", "--format={{.Server.Version}}"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode == 0:
            return None
        return (told.stderr.strip().splitlines() or ["it ends with an error"])[-1]

    def has_image(self, name: str) -> bool:
        """Whether the engine has the image already."""
        return bool(self("image", "ls", "--quiet", name).strip())

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment in which programs find the engine."""
        if self.socket is None:
            return os.environ
        # A context that the user has chosen would win over DOCKER_HOST.
        own = {name: value for name, value in os.environ.items() if name != "DOCKER_CONTEXT"}
        return own | {"DOCKER_HOST": f"unix://{self.socket}"}


def program(name: str) -> str:
    """The program's path. Raises DockerError."""
    if found := shutil.which(name, path=packages.search_path()):
        return found
    raise DockerError(f"{name} is not installed")


def _shown(command: list[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:4]]) + (" ..." if len(command) > 4 else "")


def _tail(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-_LAST_LINES:])
