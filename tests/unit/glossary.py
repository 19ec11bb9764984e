"""The generated parts of the glossary: every condition reason, CRD field and command of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from hopper.api.conditions import Reason
from hopper.api.crd import KINDS, custom_resource_definition
from hopper.cli.main import app

Row = tuple[str, ...]


def reason_words() -> str:
    """Return all condition reasons, in alphabetical order."""
    return ", ".join(f"`{reason}`" for reason in sorted(Reason)) + "\n"


def field_rows() -> Iterator[Row]:
    """Yield kind, path and meaning of each CRD field; an override has the fields of the template."""
    for kind in KINDS:
        manifest = custom_resource_definition(kind)
        schema = manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for part in ("spec", "status"):
            yield from _fields(manifest["spec"]["names"]["kind"], part, schema["properties"][part])


def _fields(kind: str, path: str, schema: dict[str, Any]) -> Iterator[Row]:
    yield kind, f"`{path}`", _first_sentence(schema.get("description", ""))
    if path.startswith("spec.overrides."):
        return
    nested = schema.get("items", schema)
    suffix = "[]" if "items" in schema else ""
    for name, field in nested.get("properties", {}).items():
        yield from _fields(kind, f"{path}{suffix}.{name}", field)


def _first_sentence(description: str) -> str:
    sentence, end, _ = " ".join(description.split()).partition(". ")
    return (sentence + end).strip().replace("|", "\\|")


def command_rows() -> Iterator[Row]:
    """Yield each command of the command line and the first sentence of its help."""
    yield from _commands("hopper", typer.main.get_command(app))


def _commands(name: str, command: Any) -> Iterator[Row]:
    for word, nested in getattr(command, "commands", {}).items():
        yield f"`{name} {word}`", _first_sentence(nested.help or "")
        yield from _commands(f"{name} {word}", nested)
