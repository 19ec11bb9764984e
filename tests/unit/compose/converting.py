"""Compose text in, templates and findings out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from hopper.api.template import TemplateSpec
from hopper.compose.convert import Conversion, convert
from hopper.compose.errors import ComposeError
from hopper.compose.reading.files import Disk
from hopper.compose.report import Finding, Outcome


@dataclass(frozen=True)
class Result:
    """A conversion, seen by service."""

    conversion: Conversion

    def spec(self, service: str = "app") -> TemplateSpec:
        (found,) = (one.spec for one in self.conversion.services if one.service == service)
        return found

    def secrets(self, service: str = "app") -> dict[str, str]:
        (found,) = (one.secrets for one in self.conversion.services if one.service == service)
        return found

    def manifest(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = (
            one for one in self.conversion.manifests() if (one["kind"], one["metadata"]["name"]) == (kind, name)
        )
        return found

    def overrides(self, service: str = "app", stack: str = "shop") -> dict[str, Any]:
        """Return what the instance of a service overrides."""
        spec: dict[str, Any] = self.manifest("HopperInstance", f"{stack}-{service}")["spec"]
        return dict(spec.get("overrides", {}))

    def findings(self, outcome: Outcome | None = None) -> dict[str, Finding]:
        return {one.key: one for one in self.conversion.findings if outcome in (None, one.outcome)}

    @property
    def dropped(self) -> dict[str, Finding]:
        return self.findings(Outcome.DROPPED)

    @property
    def changed(self) -> dict[str, Finding]:
        return self.findings(Outcome.CHANGED)

    @property
    def notes(self) -> dict[str, Finding]:
        return self.findings(Outcome.NOTE)


class Project:
    """A directory with a compose file and what it names."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def convert(
        self,
        text: str,
        stack: str | None = None,
        environment: Mapping[str, str] | None = None,
        root: Path | None = None,
    ) -> Result:
        """Convert a whole compose file."""
        path = self.write("compose.yaml", dedent(text))
        return Result(
            convert([path], lambda source: Disk(root or source.directory), stack=stack, environment=environment)
        )

    def app(self, text: str, **options: Any) -> Result:
        """Convert one service, called app, from its keys; an image is added where there is none."""
        keys = dedent(text)
        image = "" if "image:" in keys or "build:" in keys else "image: example/app:1\n"
        return self.convert("services:\n  app:\n" + indent(image + keys, "    "), **options)

    def problems(self, text: str, **options: Any) -> list[str]:
        """Return what refuses a compose file."""
        with pytest.raises(ComposeError) as caught:
            self.convert(text, **options)
        return [str(problem).replace(f"{self.directory}/", "") for problem in caught.value.problems]

    def app_problems(self, text: str) -> list[str]:
        with pytest.raises(ComposeError) as caught:
            self.app(text)
        return [str(problem).replace(f"{self.directory}/", "") for problem in caught.value.problems]
