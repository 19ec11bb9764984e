"""The docker command for one container engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hopper.local.errors import DockerError

_TAIL_LINES = 15


@dataclass(frozen=True)
class Docker:
    """The docker command, and other programs that use the same container engine.

    `host` is the value of DOCKER_HOST. Without it, docker uses the engine of the user's settings.
    """

    host: str = ""

    def __call__(self, *args: str, check: bool = True) -> str:
        """Run docker and return its standard output.

        Raises DockerError if docker is not installed, or if it fails and `check` is set.
        """
        if (docker := shutil.which("docker")) is None:
            raise DockerError("docker is not installed: install Docker")
        return self.run([docker, *args], check=check)

    def run(self, command: list[str], *, check: bool = True) -> str:
        """Run any program that finds its container engine through the environment, such as kind."""
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=self.environment, check=False
        )
        output, errors = (stream.decode(errors="replace") for stream in (result.stdout, result.stderr))
        if check and result.returncode:
            raise DockerError(f"{_shorten_command(command)} failed:\n{_tail(errors or output)}")
        return output

    def why_unavailable(self) -> str | None:
        """Return the reason why no container engine answers, or None if one does."""
        if (docker := shutil.which("docker")) is None:
            return "docker is not installed"
        result = subprocess.run(
            [docker, "version", "--format={{.Server.Version}}"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode == 0:
            return None
        return (result.stderr.strip().splitlines() or [f"docker version failed with exit code {result.returncode}"])[-1]

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment in which programs use this container engine."""
        if not self.host:
            return os.environ
        # A context that the user has selected would take precedence over DOCKER_HOST.
        inherited = {name: value for name, value in os.environ.items() if name != "DOCKER_CONTEXT"}
        return inherited | {"DOCKER_HOST": self.host}


def _shorten_command(command: list[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:4]]) + (" ..." if len(command) > 4 else "")


def _tail(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-_TAIL_LINES:])
