"""Instances and templates as people write and pipe them: files, directories, standard input; one by one or in Lists."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.api.names import GROUP, INSTANCE_KIND, TEMPLATE_KIND
from hopper.api.resources import Manifest
from hopper.api.schema import Schema, object_schema
from hopper.api.template import HopperTemplate

_MODELS: dict[str, type[Any]] = {INSTANCE_KIND: HopperInstance, TEMPLATE_KIND: HopperTemplate}


class ManifestError(Exception):
    """What was given cannot be rendered; the text says why and what to do."""


def read_documents(paths: list[str]) -> list[Manifest]:
    """Return the instances and templates of files, directories of YAML, or standard input (`-`).

    Objects of other kinds are passed over. Raises `ManifestError`, also for a field of spec that does not exist: the
    API server would refuse it.
    """
    found = []
    for path in paths:
        for text, where in _texts(path):
            for document in _objects(_parsed(text, where), where):
                if document.get("kind") in _MODELS and _group(document) == GROUP:
                    _refuse_unknown_fields(document, where)
                    found.append(document)
    return found


def namespace_of(documents: list[Manifest], wanted: str | None, default: str) -> str:
    """Return the namespace of all these objects: the one that is wanted, else the one they name, else the default.

    Raises `ManifestError` where they name another one, as `kubectl apply` does.
    """
    named = {document["metadata"]["namespace"] for document in documents if document["metadata"].get("namespace")}
    chosen = wanted or (named.pop() if len(named) == 1 else default)
    if others := sorted(named - {chosen}):
        raise ManifestError(f"there are objects of namespace {', '.join(others)}, not {chosen}: give one at a time")
    return chosen


def _texts(path: str) -> Iterator[tuple[str, str]]:
    if path == "-":
        yield sys.stdin.read(), "standard input"
        return
    given = Path(path)
    if not given.exists():
        raise ManifestError(f"{path}: no such file")
    for file in sorted([*given.glob("*.yaml"), *given.glob("*.yml")]) if given.is_dir() else [given]:
        try:
            yield file.read_text(encoding="utf-8"), str(file)
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{file} cannot be read: {error}") from error


def _parsed(text: str, where: str) -> list[object]:
    import yaml

    from hopper.cli.yaml_input import Loader

    try:
        return [document for document in yaml.load_all(text, Loader) if document is not None]
    except yaml.YAMLError as error:
        raise ManifestError(f"{where}: {error}") from error


def _objects(documents: list[object], where: str) -> Iterator[Manifest]:
    for document in documents:
        if not isinstance(document, dict) or not isinstance(document.get("metadata", {}), dict):
            raise ManifestError(f"{where}: there is something that is not an object with apiVersion, kind and metadata")
        if document.get("kind") == "List" and isinstance(document.get("items"), list):
            yield from _objects(document["items"], where)
        else:
            yield {**document, "metadata": document.get("metadata", {})}


def _group(document: Manifest) -> str:
    return str(document.get("apiVersion", "")).partition("/")[0]


def _refuse_unknown_fields(document: Manifest, where: str) -> None:
    kind, name = document["kind"], document["metadata"].get("name", "?")
    schema = _schema(kind)["properties"]["spec"]
    if unknown := list(_unknown(document.get("spec"), schema, "spec")):
        raise ManifestError(f"{where}: {kind} {name}: unknown field {', '.join(unknown)}: correct or remove it")


@cache
def _schema(kind: str) -> Schema:
    return object_schema(_MODELS[kind])


def _unknown(value: object, schema: Schema, path: str) -> Iterator[str]:
    """Yield the paths of fields that the schema does not have. Whether values are right, is for the models to say."""
    properties = schema.get("properties")
    if isinstance(value, dict) and properties is not None:
        for name, below in value.items():
            if name in properties:
                yield from _unknown(below, properties[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(value, list) and "items" in schema:
        for index, below in enumerate(value):
            yield from _unknown(below, schema["items"], f"{path}[{index}]")
