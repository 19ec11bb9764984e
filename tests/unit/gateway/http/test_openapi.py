"""The OpenAPI document: complete, with examples that fit, and the files that are made of it."""

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
    for path, found in cached()["paths"].items():
        for method, it in found.items():
            yield method, path, it


OPERATIONS = [pytest.param(*it, id=f"{it[0]} {it[1]}") for it in operations()]
SCHEMAS = [pytest.param(name, it, id=name) for name, it in cached()["components"]["schemas"].items()]


@pytest.mark.parametrize("name", rest_docs())
def test_the_files_are_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == rest_docs()[name], "run `make openapi`"


@pytest.mark.parametrize(("method", "path", "it"), OPERATIONS)
def test_an_operation_is_described(method: str, path: str, it: dict[str, Any]) -> None:
    assert method in METHODS
    assert it["summary"]
    assert it["description"]
    assert it["tags"]
    assert all(parameter.get("description") or parameter["schema"] for parameter in it.get("parameters", ()))
    if path.startswith("/api/v1"):
        assert it["responses"].keys() >= {"401", "403", "422", "429", "503"}
        assert ("404" in it["responses"]) or "{" not in path


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [it["operationId"] for _, _, it in operations()]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(("name", "schema"), SCHEMAS)
def test_examples_fit(name: str, schema: dict[str, Any]) -> None:
    whole = schema | {"components": cached()["components"]}
    jsonschema.Draft202012Validator.check_schema(schema)
    for example in schema.get("examples", ()):
        jsonschema.validate(example, whole, jsonschema.Draft202012Validator)
    for it in schema.get("properties", {}).values():
        for example in it.get("examples", ()):
            jsonschema.validate(example, it | {"components": cached()["components"]}, jsonschema.Draft202012Validator)


def test_what_takes_a_body_has_an_example_of_it() -> None:
    schemas = cached()["components"]["schemas"]
    for method, path, it in operations():
        if "requestBody" not in it:
            continue
        schema = it["requestBody"]["content"]["application/json"]["schema"]
        either = [schema, *(it for it in schema.get("anyOf", ()) if it.get("type") != "null")]
        either += [schemas[it["$ref"].rpartition("/")[2]] for it in either if "$ref" in it]
        # Entries of overrides are as in the spec of an instance.
        of_entries = path.endswith("/healthcheck") or any(it.get("type") == "array" for it in either)
        assert of_entries or any("examples" in it for it in either), f"{method} {path}"


def test_no_parameter_is_null() -> None:
    """A URL cannot say so. Where the document does, `?capability=true` is no list to those who check by it."""
    for method, path, it in operations():
        for parameter in it.get("parameters", ()):
            assert {"type": "null"} not in parameter["schema"].get("anyOf", ()), f"{method} {path}: {parameter}"


def patterns_in(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield part["pattern"]
        part = list(part.values())
    if isinstance(part, list):
        for it in part:
            yield from patterns_in(it)


def test_every_pattern_has_words() -> None:
    """Whoever does not write as one wants is told what to write, not an expression."""
    assert set(patterns_in(cached())) == PATTERN_MESSAGES.keys()


async def test_the_page_to_try_it_out_needs_nothing_from_elsewhere() -> None:
    """In a cluster that reaches no other site, and without a stranger's script beside the caller's token."""
    gateway = InMemoryGateway()
    page = await gateway.client.get("http://gateway/docs")
    assert page.status_code == 200
    needed = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page.text)
    paths = [one or other for one, other in needed]
    assert any(it.endswith(".js") for it in paths)
    assert any(it.endswith(".css") for it in paths)
    assert any(it.endswith("openapi.json") for it in paths)
    for path in paths:
        assert path.startswith("/"), f"{path} is elsewhere"
        assert (await gateway.client.get(f"http://gateway{path}")).status_code == 200, path
