"""How bodies are read: JSON that is neither too large nor too deep, and without fields that nobody knows.

The models of `hopper.api` ignore unknown fields, as an older operator must. A user who mistypes one is to hear of it.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from hopper.gateway.http.errors import InvalidError, TooLargeError, TooSlowError, field_error, invalid

_JSON_TYPE = re.compile(r"\s*application/([\w.+-]+\+)?json\s*(;|$)", re.IGNORECASE)
# Who sends a megabyte of nonsense is not told of each bit of it.
_MOST_ERRORS = 1000
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class _JsonRequest(Request):
    """A request whose JSON is read as what the route wants: FastAPI takes the model as it is then."""

    adapter: TypeAdapter[Any]
    max_bytes: int
    max_depth: int
    max_seconds: float

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            try:
                async with asyncio.timeout(self.max_seconds):
                    self._body = await self._read()
            except TimeoutError:
                raise TooSlowError(f"the body was not complete after {self.max_seconds:g} s") from None
            if self._body and not _JSON_TYPE.match(self.headers.get("content-type", "")):
                # Pages from elsewhere can have a browser send anything else, without asking first.
                message = "has to come with the header Content-Type: application/json"
                raise InvalidError(f"the body {message}", errors=[field_error(("body",), message, "not_json")])
        return self._body

    async def _read(self) -> bytes:
        chunks, size = [], 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > self.max_bytes:
                raise TooLargeError(f"the body is larger than {self.max_bytes} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def json(self) -> Any:
        body = await self.body()
        try:
            raw = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise InvalidError(f"the body is not JSON: {error}", errors=[_not_json(error)]) from None
        if depth_of(raw, self.max_depth) > self.max_depth:
            message = f"nested more than {self.max_depth} deep"
            raise InvalidError(message, errors=[field_error(("body",), message, "too_deep")])
        return self._validate(body, raw)

    def _validate(self, body: bytes, raw: Any) -> Any:
        """Take JSON for what it says: no text is a number. Only 1.0 is an integer too, as JSON has but one kind."""
        try:
            return self.adapter.validate_json(body, extra="forbid", strict=True)
        except ValidationError as error:
            found = error
        if found.error_count() > _MOST_ERRORS:
            message = f"has {found.error_count()} things wrong: it is not what is wanted here"
            raise InvalidError(f"the body {message}", errors=[field_error(("body",), message, "too_many_errors")])
        if any(it["type"] == "int_type" for it in found.errors(include_url=False)):
            try:
                return self.adapter.validate_json(to_json(_with_integers(raw)), extra="forbid", strict=True)
            except ValidationError as error:
                found = error
        raise invalid(found.errors(include_url=False, include_input=False, include_context=False), "body")


def _not_json(error: ValueError) -> dict[str, str]:
    return field_error(("body",), str(error), "json_invalid")


def _with_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_integers(it) for key, it in value.items()}
    if isinstance(value, list):
        return [_with_integers(it) for it in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def depth_of(value: object, most: int) -> int:
    """Return how deep a JSON value is nested; no further than `most` + 1."""
    depth, level = 0, [value]
    while level and depth <= most:
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        depth += 1
    return depth


class JsonRoute(APIRoute):
    """A route that reads its body as above; use it as `route_class` of a router.

    Before, it asks `app.state.admit`: FastAPI would have a body read before anything that a route depends on.
    """

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        annotation: Any = self.body_field.field_info.annotation
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)

        async def handle_json(request: Request) -> Response:
            await request.app.state.admit(request)
            ours = _JsonRequest(request.scope, request.receive)
            ours.adapter = adapter
            settings = request.app.state.context.settings
            ours.max_bytes, ours.max_depth = settings.max_body_bytes, settings.max_depth
            ours.max_seconds = settings.max_body_seconds
            return await handle(ours)

        return handle_json
