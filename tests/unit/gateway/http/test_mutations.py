"""Mutated requests: every response is documented, and arrives in time."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.gateway.in_memory_gateway import InMemoryGateway, settings_with

# Set HOPPER_MUTATIONS higher for a thorough search.
REQUESTS = int(os.environ.get("HOPPER_MUTATIONS", "1500"))
ALLOWED = {200, 201, 204, 304, 400, 404, 405, 408, 409, 413, 422}
SECONDS = 10

NAMES = [
    *("web", "web-a", "global", "shop", "nobody", "active", "projects"),
    *(".", "..", "%", "\x00", "a/b", "é", "x" * 300),
]
TEXTS = [
    *("", " ", "0", "-1", "1e309", "NaN", "null", "true", "web", "PROJECT", "running"),
    *("a=b", "=", "\x00", "\ud7ff", "*", "[", "x" * 5000),
]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 2**63, 10**30, 1e308, "", "x", "\x00", "PROJECT", "web", "2026-01-01T00:00:00Z"),
    *([], {}, [None], {"": ""}, {"$remove": True}, [[[[]]]], {"a": {"b": {"c": {}}}}, "é" * 300, "x" * 70_000),
]
HEADERS: list[dict[str, str]] = [
    *({}, {}, {}, {"If-Match": '"1"'}, {"If-Match": "*"}, {"If-Match": "x" * 100}, {"If-None-Match": "*"}),
    *({"If-None-Match": ',,"'}, {"X-Request-Id": "a b"}, {"Accept": "text/html"}, {"Origin": "https://example.org"}),
    *({"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=latin1"}, {"Content-Type": ";"}),
]


class RequestMutator:
    """Generator of mutated requests from the OpenAPI document."""

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        self._document = document
        self._random = random.Random(seed)
        self._operations = [
            (method.upper(), path, operation)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            if not path.endswith("/events")  # a stream does not end
        ]

    def make(self) -> tuple[str, str, bytes | None, dict[str, str]]:
        """Return method, URL, body and headers."""
        pick = self._random
        method, path, operation = pick.choice(self._operations)
        for name in [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"]:
            path = path.replace(f"{{{name}}}", quote(pick.choice(NAMES), safe=""))
        query = [
            (parameter["name"], pick.choice(TEXTS))
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "query" and parameter["name"] != "wait" and pick.random() < 0.3
        ]
        if query:
            path += "?" + "&".join(f"{key}={quote(text)}" for key, text in query)
        headers = {"Content-Type": "application/json"} | pick.choice(HEADERS)
        body = self._body(operation) if "requestBody" in operation or pick.random() < 0.05 else None
        return pick.choice([method] * 20 + ["PATCH", "OPTIONS", "HEAD"]), path, body, headers

    def _body(self, operation: dict[str, Any]) -> bytes:
        pick = self._random
        value = copy.deepcopy(self._example(operation))
        for _ in range(pick.randrange(4)):
            value = self._mutate(value)
        text = json.dumps(value).encode()
        if pick.random() < 0.05:
            at = pick.randrange(len(text) + 1)
            text = text[:at] + bytes(pick.randrange(256) for _ in range(3)) + text[at + pick.randrange(3) :]
        return text

    def _example(self, operation: dict[str, Any]) -> Any:
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        for candidate in (schema, *schema.get("anyOf", ()), *schema.get("items", {}).get("anyOf", ())):
            if "$ref" in candidate:
                candidate = self._document["components"]["schemas"][candidate["$ref"].rpartition("/")[2]]
            if "examples" in candidate:
                return candidate["examples"][0]
            if "properties" in candidate:
                return dict.fromkeys(candidate["properties"])
        return []

    def _mutate(self, value: Any) -> Any:
        pick = self._random
        if isinstance(value, dict) and value and pick.random() < 0.8:
            key = pick.choice(list(value))
            match pick.randrange(4):
                case 0:
                    del value[key]
                case 1:
                    value[pick.choice(TEXTS)] = copy.deepcopy(pick.choice(VALUES))
                case _:
                    value[key] = self._mutate(value[key])
            return value
        if isinstance(value, list) and pick.random() < 0.8:
            return [*value, copy.deepcopy(pick.choice(VALUES))]
        return copy.deepcopy(pick.choice(VALUES))


@pytest.mark.parametrize("seed", range(4))
async def test_mutated_requests_get_documented_responses(seed: int) -> None:
    gateway = InMemoryGateway(settings=settings_with(max_body_bytes=200_000))
    gateway.instance("global", "Global")
    gateway.instance("web", "Project", "global")
    gateway.instance("web-a", "Orchestration", "web", templateRef={"name": "shop"})
    gateway.template("shop")
    maker, codes = RequestMutator(gateway.app.openapi(), seed), Counter[int]()
    async with gateway.client:
        for _ in range(REQUESTS // 4):
            method, url, body, headers = maker.make()
            about = f"{method} {url[:300]} {headers} {body[:300] if body else body!r}"
            root = "http://gateway"
            async with asyncio.timeout(SECONDS):
                response = await gateway.client.request(method, root + url, content=body, headers=headers)
            codes[response.status_code] += 1
            assert response.status_code in ALLOWED, f"{about}: {response.status_code} {response.text[:300]}"
            if response.status_code >= 400 and method != "HEAD" and url.startswith("/api"):
                created = response.json()
                assert created.keys() - {"errors"} == {"error_type", "detail"}, about
                assert "Traceback" not in response.text
    assert len(codes) >= 6, codes
