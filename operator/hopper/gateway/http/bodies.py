"""Request bodies: size and depth limits, and strict validation.

The models of `hopper.api` ignore unknown fields, because an older operator must accept objects of a newer version. The
gateway rejects unknown fields, so that a caller notices a typing mistake.
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

from hopper.gateway.http.errors import PayloadTooLargeError, RequestTimeoutError
from hopper.gateway.http.limits import PendingBodies
from hopper.gateway.http.validation_errors import invalid_body, validation_failed

_JSON_TYPE = re.compile(r"\s*application/([\w.+-]+\+)?json\s*(;|$)", re.IGNORECASE)
# A body with more errors than this gets one error, so that a large invalid body does not get a larger response.
_MAX_ERRORS = 1000
RouteHandler = Callable[[Request], Coroutine[Any, Any, Response]]


class _ValidatedJsonRequest(Request):
    """A request whose `json()` returns the validated model of the route. FastAPI uses that model unchanged."""

    adapter: TypeAdapter[Any]
    pending: PendingBodies
    max_bytes: int
    max_depth: int
    max_seconds: float

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            try:
                async with asyncio.timeout(self.max_seconds):
                    self._body = await self._read()
            except TimeoutError:
                raise RequestTimeoutError(
                    f"the body was not complete after {self.max_seconds:g} s; send the request again"
                ) from None
            if self._body and not _JSON_TYPE.match(self.headers.get("content-type", "")):
                # A browser sends other content types across origins without a preflight request.
                raise invalid_body("requires the header Content-Type: application/json", "not_json")
        return self._body

    async def _read(self) -> bytes:
        chunks, size = [], 0
        try:
            async for chunk in self.stream():
                if size + len(chunk) > self.max_bytes:
                    raise PayloadTooLargeError(f"the body is larger than {self.max_bytes} bytes; send a smaller one")
                self.pending.reserve(len(chunk))
                size += len(chunk)
                chunks.append(chunk)
        finally:
            self.pending.release(size)
        return b"".join(chunks)

    async def json(self) -> Any:
        body = await self.body()
        try:
            raw = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise invalid_body(f"is not valid JSON: {error}", "json_invalid") from None
        if depth_of(raw, self.max_depth) > self.max_depth:
            raise invalid_body(f"is nested more than {self.max_depth} levels deep", "too_deep")
        return self._validate(body, raw)

    def _validate(self, body: bytes, raw: Any) -> Any:
        """Validate strictly: a string is not a number. But 1.0 is an integer, because JSON has one type of number."""
        try:
            return self.adapter.validate_json(body, extra="forbid", strict=True)
        except ValidationError as error:
            failure = error
        if failure.error_count() > _MAX_ERRORS:
            message = f"has {failure.error_count()} errors: see /openapi.json for the expected fields"
            raise invalid_body(message, "too_many_errors")
        if any(error["type"] == "int_type" for error in failure.errors(include_url=False)):
            try:
                return self.adapter.validate_json(to_json(_with_integers(raw)), extra="forbid", strict=True)
            except ValidationError as error:
                failure = error
        errors = failure.errors(include_url=False, include_input=False, include_context=False)
        raise validation_failed(errors, "body")


def _with_integers(value: Any) -> Any:
    """Return a JSON value with each whole float as an integer."""
    if isinstance(value, dict):
        return {key: _with_integers(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_with_integers(child) for child in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def depth_of(value: object, limit: int) -> int:
    """Return the nesting depth of a JSON value, at most `limit` + 1."""
    depth, level = 0, [value]
    while level and depth <= limit:
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        depth += 1
    return depth


class JsonRoute(APIRoute):
    """A route that authenticates the caller (`app.state.authenticate`) and then reads its body with the limits.

    FastAPI on its own reads the body before any dependency of the route. Use as `route_class` of a router.
    """

    def get_route_handler(self) -> RouteHandler:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        annotation: Any = self.body_field.field_info.annotation
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)

        async def handle_json(request: Request) -> Response:
            await request.app.state.authenticate(request)
            json_request = _ValidatedJsonRequest(request.scope, request.receive)
            json_request.adapter = adapter
            settings = request.app.state.context.settings
            json_request.pending = request.app.state.context.pending_bodies
            json_request.max_bytes, json_request.max_depth = settings.max_body_bytes, settings.max_depth
            json_request.max_seconds = settings.max_body_seconds
            return await handle(json_request)

        return handle_json
