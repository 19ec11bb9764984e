"""The OpenAPI document is complete, its examples are valid, and the generated files match it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hopper.gateway.http.validation_errors import PATTERN_MESSAGES
from tests.generators.rest_docs import openapi_document, rest_docs
from tests.unit.gateway.in_memory_gateway import InMemoryGateway

DOCS = Path(__file__).parents[4] / "docs" / "reference"
METHODS = {"get", "post", "put", "delete"}

cached = cache(openapi_document)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, by_method in cached()["paths"].items():
        for method, operation in by_method.items():
            yield method, path, operation


OPERATIONS = [pytest.param(*operation, id=f"{operation[0]} {operation[1]}") for operation in operations()]
SCHEMAS = [pytest.param(name, schema, id=name) for name, schema in cached()["components"]["schemas"].items()]


@pytest.mark.parametrize("name", rest_docs())
def test_the_generated_files_are_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == rest_docs()[name], "run `make openapi`"


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_operation_is_described(method: str, path: str, operation: dict[str, Any]) -> None:
    assert method in METHODS
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    assert all(parameter.get("description") or parameter["schema"] for parameter in operation.get("parameters", ()))
    if path.startswith("/api/v1"):
        assert operation["responses"].keys() >= {"401", "403", "422", "429", "503"}
        assert ("404" in operation["responses"]) or "{" not in path


def test_operation_ids_are_unique() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(("name", "schema"), SCHEMAS)
def test_examples_are_valid(name: str, schema: dict[str, Any]) -> None:
    whole = schema | {"components": cached()["components"]}
    jsonschema.Draft202012Validator.check_schema(schema)
    for example in schema.get("examples", ()):
        jsonschema.validate(example, whole, jsonschema.Draft202012Validator)
    for field in schema.get("properties", {}).values():
        for example in field.get("examples", ()):
            jsonschema.validate(
                example, field | {"components": cached()["components"]}, jsonschema.Draft202012Validator
            )


def test_every_body_has_an_example() -> None:
    schemas = cached()["components"]["schemas"]
    for method, path, operation in operations():
        if "requestBody" not in operation:
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        either = [schema, *(schema for schema in schema.get("anyOf", ()) if schema.get("type") != "null")]
        either += [schemas[schema["$ref"].rpartition("/")[2]] for schema in either if "$ref" in schema]
        # The models of override entries belong to the CRD, and have no examples.
        of_entries = path.endswith("/healthcheck") or any(schema.get("type") == "array" for schema in either)
        assert of_entries or any("examples" in schema for schema in either), f"{method} {path}"


def test_no_parameter_allows_null() -> None:
    """A URL cannot express null. A schema that allows it would not accept `?capability=true` as a list."""
    for method, path, operation in operations():
        for parameter in operation.get("parameters", ()):
            assert {"type": "null"} not in parameter["schema"].get("anyOf", ()), f"{method} {path}: {parameter}"


def patterns_in(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield part["pattern"]
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from patterns_in(item)


def test_every_pattern_has_a_message() -> None:
    """Error messages show an example instead of a regular expression."""
    assert set(patterns_in(cached())) == PATTERN_MESSAGES.keys()


async def test_the_docs_page_loads_nothing_from_other_servers() -> None:
    """A cluster may have no internet access, and a foreign script could read the caller's token."""
    gateway = InMemoryGateway()
    page = await gateway.client.get("http://gateway/docs")
    assert page.status_code == 200
    needed = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page.text)
    paths = [one or other for one, other in needed]
    assert any(path.endswith(".js") for path in paths)
    assert any(path.endswith(".css") for path in paths)
    assert any(path.endswith("openapi.json") for path in paths)
    for path in paths:
        assert path.startswith("/"), f"{path} is elsewhere"
        assert (await gateway.client.get(f"http://gateway{path}")).status_code == 200, path
