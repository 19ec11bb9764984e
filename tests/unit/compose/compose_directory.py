"""Conversion of compose files in a temporary directory, and access to the result by service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from hopper.api.template import TemplateSpec
from hopper.compose.convert import Conversion, convert
from hopper.compose.reading.file_readers import DirectoryReader
from hopper.compose.report import ComposeError, Finding, Outcome


@dataclass(frozen=True)
class ConversionResult:
    """A conversion with access to the results and findings of a single service."""

    conversion: Conversion

    def spec(self, service: str = "app") -> TemplateSpec:
        (converted,) = (converted for converted in self.conversion.services if converted.service == service)
        return converted.spec

    def secrets(self, service: str = "app") -> dict[str, str]:
        (converted,) = (converted for converted in self.conversion.services if converted.service == service)
        return converted.secrets

    def manifest(self, kind: str, name: str) -> dict[str, Any]:
        manifests = self.conversion.manifests()
        matches = (item for item in manifests if (item["kind"], item["metadata"]["name"]) == (kind, name))
        (manifest,) = matches
        return manifest

    def overrides(self, service: str = "app", stack: str = "shop") -> dict[str, Any]:
        """Return the overrides of the instance of a service."""
        spec: dict[str, Any] = self.manifest("HopperInstance", f"{stack}-{service}")["spec"]
        return dict(spec.get("overrides", {}))

    def findings(self, outcome: Outcome | None = None) -> dict[str, Finding]:
        """Return the findings by key, of one outcome or of all."""
        findings = self.conversion.findings
        return {finding.key: finding for finding in findings if outcome in (None, finding.outcome)}

    @property
    def dropped(self) -> dict[str, Finding]:
        return self.findings(Outcome.DROPPED)

    @property
    def changed(self) -> dict[str, Finding]:
        return self.findings(Outcome.CHANGED)

    @property
    def notes(self) -> dict[str, Finding]:
        return self.findings(Outcome.NOTE)


class ComposeDirectory:
    """A directory with a compose file and the files it refers to."""

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
    ) -> ConversionResult:
        """Convert a compose file with this content."""
        path = self.write("compose.yaml", dedent(text))
        conversion = convert(
            [path], lambda source: DirectoryReader(root or source.directory), stack=stack, environment=environment
        )
        return ConversionResult(conversion)

    def app(self, text: str, **options: Any) -> ConversionResult:
        """Convert a compose file with one service called app, which has these keys and an image."""
        keys = dedent(text)
        image = "" if "image:" in keys or "build:" in keys else "image: example/app:1\n"
        return self.convert("services:\n  app:\n" + indent(image + keys, "    "), **options)

    def problems(self, text: str, **options: Any) -> list[str]:
        """Return the problems for which a compose file with this content is refused."""
        with pytest.raises(ComposeError) as caught:
            self.convert(text, **options)
        return [str(problem).replace(f"{self.directory}/", "") for problem in caught.value.problems]

    def app_problems(self, text: str) -> list[str]:
        """Return the problems of a compose file with one service called app, which has these keys and an image."""
        with pytest.raises(ComposeError) as caught:
            self.app(text)
        return [str(problem).replace(f"{self.directory}/", "") for problem in caught.value.problems]
