"""Manifests of instances and templates from files, directories and standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hopper.api.instance import HopperInstance
from hopper.api.names import GROUP, INSTANCE_KIND, TEMPLATE_KIND
from hopper.api.resources import Manifest
from hopper.api.schema import Schema, object_schema
from hopper.api.template import HopperTemplate
from hopper.cli.manifest_yaml import KubectlYamlLoader
from hopper.compose.reading.yaml_documents import describe_yaml_error

# kubectl reads Lists of Lists. Deeper nesting does not occur in practice.
_MAX_LISTS = 8
_MODELS: dict[str, type[Any]] = {INSTANCE_KIND: HopperInstance, TEMPLATE_KIND: HopperTemplate}


class ManifestError(Exception):
    """A manifest that cannot be rendered. The message names the manifest and says what to do."""


def read_manifests(paths: list[str]) -> list[Manifest]:
    """Return the instances and templates in files, in directories of YAML files, or on standard input (`-`).

    Ignore objects of other kinds. Raises `ManifestError`, also for unknown fields of spec, which the API server would
    reject.
    """
    manifests = []
    for path in paths:
        for text, source in _read_texts(path):
            for manifest in _objects(_parse_documents(text, source), source):
                if manifest.get("kind") in _MODELS and _group(manifest) == GROUP:
                    _check_fields(manifest, source)
                    manifests.append(manifest)
    return manifests


def common_namespace(manifests: list[Manifest], requested: str | None, default: str) -> str:
    """Return the requested namespace, else the one that the manifests set, else the default.

    Raises `ManifestError` if a manifest sets another namespace, as `kubectl apply` does.
    """
    names = {manifest["metadata"]["namespace"] for manifest in manifests if manifest["metadata"].get("namespace")}
    namespace = requested or (names.pop() if len(names) == 1 else default)
    if others := sorted(names - {namespace}):
        raise ManifestError(
            f"metadata.namespace: expected {namespace}, but there are objects in {', '.join(others)}: "
            "pass the objects of one namespace at a time"
        )
    return namespace


def _read_texts(path: str) -> Iterator[tuple[str, str]]:
    """Yield the text of each file, with a name of the file for messages."""
    if path == "-":
        yield sys.stdin.read(), "standard input"
        return
    source = Path(path)
    if not source.exists():
        raise ManifestError(f"{path}: no such file or directory")
    for file in sorted([*source.glob("*.yaml"), *source.glob("*.yml")]) if source.is_dir() else [source]:
        try:
            yield file.read_text(encoding="utf-8"), str(file)
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{file}: cannot read the file: {error}") from error


def _parse_documents(text: str, source: str) -> list[object]:
    try:
        return [document for document in yaml.load_all(text, KubectlYamlLoader) if document is not None]
    except (RecursionError, ValueError, OverflowError, yaml.YAMLError) as error:
        raise ManifestError(f"{source}: {_yaml_problem(error)}") from error


def _yaml_problem(error: Exception) -> str:
    """Return what is wrong with a file, without any text of the file, which may contain secrets."""
    match error:
        case RecursionError():
            return "a value is nested too deep: flatten it, or store it as text"
        case yaml.MarkedYAMLError():
            return describe_yaml_error(error)
        case yaml.YAMLError():
            return "not valid YAML: it contains characters that are not text"
        case _:
            return "a value cannot be read: correct the number or date, or put it in quotes"


def _objects(documents: list[object], source: str, depth: int = 0) -> Iterator[Manifest]:
    """Yield the objects in documents, including the items of Lists."""
    for document in documents:
        if depth > _MAX_LISTS:
            raise ManifestError(f"{source}: more than {_MAX_LISTS} Lists are nested in each other: flatten them")
        if not isinstance(document, dict) or not isinstance(document.get("metadata", {}), dict):
            raise ManifestError(f"{source}: a document is not an object with apiVersion, kind and metadata")
        if document.get("kind") == "List" and isinstance(document.get("items"), list):
            yield from _objects(document["items"], source, depth + 1)
        else:
            yield {**document, "metadata": document.get("metadata", {})}


def _group(manifest: Manifest) -> str:
    return str(manifest.get("apiVersion", "")).partition("/")[0]


def _check_fields(manifest: Manifest, source: str) -> None:
    kind, name = manifest["kind"], manifest["metadata"].get("name", "?")
    schema = _object_schema(kind)["properties"]["spec"]
    if unknown := list(_unknown_fields(manifest.get("spec"), schema, "spec")):
        raise ManifestError(f"{source}: {kind} {name}: unknown field {', '.join(unknown)}: correct or remove it")


@cache
def _object_schema(kind: str) -> Schema:
    return object_schema(_MODELS[kind])


def _unknown_fields(value: object, schema: Schema, path: str) -> Iterator[str]:
    """Yield the paths of fields that are not in the schema. The models check the values."""
    properties = schema.get("properties")
    if isinstance(value, dict) and properties is not None:
        for name, child in value.items():
            if name in properties:
                yield from _unknown_fields(child, properties[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _unknown_fields(item, schema["items"], f"{path}[{index}]")
