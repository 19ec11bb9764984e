"""How bodies are read: JSON that is neither too large nor too deep, and without fields that nobody knows.

The models of `hopper.api` ignore unknown fields, as an older operator must. A user who mistypes one is to hear of it.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from hopper.gateway.errors import InvalidError, TooLargeError, field_error, invalid

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class _JsonRequest(Request):
    """A request whose JSON is read as what the route wants: FastAPI takes the model as it is then."""

    adapter: TypeAdapter[Any]
    max_bytes: int
    max_depth: int

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            chunks, size = [], 0
            async for chunk in self.stream():
                size += len(chunk)
                if size > self.max_bytes:
                    raise TooLargeError(f"the body is larger than {self.max_bytes} bytes")
                chunks.append(chunk)
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        body = await self.body()
        try:
            raw = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise InvalidError(f"the body is not JSON: {error}", errors=[_not_json(error)]) from None
        if depth_of(raw, self.max_depth) > self.max_depth:
            message = f"nested more than {self.max_depth} deep"
            raise InvalidError(message, errors=[field_error(("body",), message, "too_deep")])
        try:
            return self.adapter.validate_json(body, extra="forbid")
        except ValidationError as error:
            raise invalid(error.errors(include_url=False, include_input=False, include_context=False), "body") from None


def _not_json(error: ValueError) -> dict[str, str]:
    return field_error(("body",), str(error), "json_invalid")


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
    """A route that reads its body as above; use it as `route_class` of a router."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        annotation: Any = self.body_field.field_info.annotation
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)

        async def handle_json(request: Request) -> Response:
            ours = _JsonRequest(request.scope, request.receive)
            ours.adapter = adapter
            settings = request.app.state.context.settings
            ours.max_bytes, ours.max_depth = settings.max_body_bytes, settings.max_depth
            return await handle(ours)

        return handle_json
