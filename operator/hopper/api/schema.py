"""Translation of models into structural OpenAPI v3 schemas, as CustomResourceDefinitions need them.

Kubernetes accepts only a subset of the JSON schemas that pydantic generates. A structural schema has no `$ref`, no
titles and no `null` type, because optional means not required. Its integers have a format, every list has a list type,
and it has only the defaults that the API server should store.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from hopper.api.model import UNOBSERVED

Schema = dict[str, Any]

_INT32_MAX = 2**31 - 1
_ENUM_VALUES_SHOWN = 4  # by `kubectl explain`
_FIRST_KEYS = ("description", "type", "format")
# The API server publishes its own schema of `metadata`. `name` is declared, because rules refer to it.
_TYPE_META: Schema = {
    "apiVersion": {
        "description": "API group and version of this object, such as hopper.dev/v1.",
        "type": "string",
    },
    "kind": {"description": "Kind of this object.", "type": "string"},
    "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
}


def object_schema(model: type[Any]) -> Schema:
    """Return the schema of a kind whose model has `spec` and optionally `status`."""
    schema = structural_schema(model)
    status = structural_schema(model, defaults=False)["properties"].get("status")
    if status is not None:
        status["properties"]["observedGeneration"]["default"] = UNOBSERVED
        status["default"] = {"observedGeneration": UNOBSERVED}
    properties = _TYPE_META | {"spec": schema["properties"]["spec"]} | ({"status": status} if status else {})
    return {"description": schema["description"], "type": "object", "required": ["spec"], "properties": properties}


def structural_schema(model: type[Any], *, defaults: bool = True) -> Schema:
    """Return the structural schema of a model, with its scalar defaults or without defaults.

    Raises `ValueError` for recursive models, and for unions other than with null.
    """
    source = TypeAdapter(model).json_schema(by_alias=True, mode="validation")
    return _Translation(source.get("$defs", {}), defaults).translate(source)


class _Translation:
    """Translation of one JSON schema with its definitions."""

    def __init__(self, definitions: Mapping[str, Schema], defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def translate(self, source: Schema, seen: tuple[str, ...] = ()) -> Schema:
        """Return the structural form of a node and its descendants. `seen` holds the definitions that enclose it."""
        node, seen = self._resolve(source, seen)
        node.pop("title", None)
        node.pop("$defs", None)
        node.pop("anyOf", None)  # CEL rules check such combinations, with better messages
        if not self._defaults or not _is_stored_default(node.get("default")):
            node.pop("default", None)
        match node.get("type"):
            case "object":
                self._object(node, seen)
            case "array":
                node["items"] = self.translate(node["items"], seen)
                node.setdefault("x-kubernetes-list-type", "atomic")
            case "integer":
                node.setdefault("format", "int32" if node.get("maximum", _INT32_MAX + 1) <= _INT32_MAX else "int64")
            case None if "x-kubernetes-preserve-unknown-fields" not in node:
                raise ValueError(f"structural schema needs a type: {source}")
        if "description" in node:
            node["description"] = " ".join([node["description"], *_remarks(node)])
        return {key: node[key] for key in (*_FIRST_KEYS, *node) if key in node}

    def _object(self, node: Schema, seen: tuple[str, ...]) -> None:
        if "properties" in node:
            node["properties"] = {name: self.translate(child, seen) for name, child in node["properties"].items()}
        match node.pop("additionalProperties", None):
            case True:
                node["x-kubernetes-preserve-unknown-fields"] = True
            case dict() as values:
                node["additionalProperties"] = self.translate(values, seen)

    def _resolve(self, source: Schema, seen: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Return the node with `$ref` and a null in `anyOf` resolved. The node's own keys take precedence."""
        node = dict(source)
        while "$ref" in node or _is_optional(node):
            if "$ref" in node:
                name = node.pop("$ref").removeprefix("#/$defs/")
                if name in seen:
                    raise ValueError(f"structural schema must not be recursive: {name}")
                inner, seen = self._definitions[name], (*seen, name)
            else:
                inner = _without_null(node.pop("anyOf"))
            node = inner | node
        return node, seen


def _is_optional(node: Schema) -> bool:
    return {"type": "null"} in node.get("anyOf", ())


def _without_null(choices: list[Schema]) -> Schema:
    rest = [choice for choice in choices if choice != {"type": "null"}]
    if len(rest) != 1:
        raise ValueError(f"structural schema must have no unions: {choices}")
    return rest[0]


def _remarks(node: Schema) -> Iterator[str]:
    """Yield sentences for what `kubectl explain` does not show: long enums and defaults."""
    if len(values := node.get("enum", ())) > _ENUM_VALUES_SHOWN:
        yield f"One of {', '.join(values)}."
    if "default" in node:
        default = node["default"]
        yield f"Defaults to {default if isinstance(default, str) else json.dumps(default)}."


def _is_stored_default(value: object) -> bool:
    """Whether the API server should store a default: a scalar value that is neither null nor empty."""
    return isinstance(value, bool | int | str) and value != ""
