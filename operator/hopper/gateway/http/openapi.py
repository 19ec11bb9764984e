"""The OpenAPI document: what the routes declare, and what all of them have in common."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from hopper.gateway.models.errors import Problem, ValidationProblem

DESCRIPTION = """\
Instances, their lifecycle and their hierarchy, as the cluster has them. Reads come from memory and cost the API server
nothing; writes are passed on to it as what the caller wants. No state is ever made up.

An `id` is the name of the object; its uid is accepted wherever an id is. Enums are accepted in any case. A request is
about the gateway's own namespace, or about `?namespace=` where the caller may. Lists and instances carry an `ETag`.
"""

_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of the cluster (`--auth token`)."},
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key from a Secret (`--auth apikey`).",
    },
}
# Code → when, and whether it names fields.
_ERRORS: dict[str, str] = {
    "400": "This state does not allow it, or a parent or template that is named does not exist.",
    "401": "Nobody knows who is asking.",
    "403": "The caller may not.",
    "404": "There is no such thing.",
    "408": "The body did not come in time.",
    "409": "Already so, name taken, live children, no room left, or edited by someone else.",
    "413": "The body is too large.",
    "422": "A parameter or the body is not as it has to be; `errors` name the fields.",
    "429": "Too many requests or streams; `Retry-After` says when to come back.",
    "503": "The API server cannot be reached, or the registry is not complete yet.",
}
_UNCHANGED = {"description": "Not changed since the version that `If-None-Match` names."}
_ALWAYS = ("401", "403", "422", "429", "503")


def build(app: FastAPI) -> dict[str, Any]:
    """Return the document of an application."""
    found = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=DESCRIPTION, routes=app.routes
    )
    schemas = found["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (Problem, ValidationProblem):
        schema = TypeAdapter(model).json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
    found["components"]["securitySchemes"] = _SCHEMES
    found["components"]["responses"] = {code: _error(code) for code in _ERRORS} | {"304": _UNCHANGED}
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/api/"):
                _complete(path, method, operation)
    for operations in found["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _never_null(parameter["schema"])
            _close(operation.get("requestBody", {}), schemas)
    found["components"]["schemas"] = dict(sorted(schemas.items()))
    return found


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter that may be left out: in a URL or a header there is no null."""
    kinds = [it for it in schema.get("anyOf", ()) if it.get("type") != "null"]
    return schema if len(kinds) != 1 else kinds[0] | {key: it for key, it in schema.items() if key != "anyOf"}


def _close(part: Any, schemas: dict[str, Any]) -> None:
    """Say of every schema that a body is made of that it takes no other fields."""
    if isinstance(part, list):
        for it in part:
            _close(it, schemas)
    elif isinstance(part, dict):
        schema = schemas.get(part.get("$ref", "").rpartition("/")[2]) if isinstance(part.get("$ref"), str) else part
        if schema is None or schema.get("additionalProperties") is False:
            return
        if "properties" in schema:
            schema["additionalProperties"] = False
        for it in schema.values():
            _close(it, schemas)


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add what every route of the API has: who may call, and how it can go wrong."""
    operation["security"] = [{scheme: []} for scheme in _SCHEMES] + [{}]
    codes = {*_ALWAYS}
    if "{" in path or path.endswith("/global"):
        codes.add("404")
    if method in ("post", "put", "delete") and not path.endswith("/heartbeat"):
        codes |= {"400", "409"}
    if "requestBody" in operation:
        codes |= {"408", "413"}
    responses = operation["responses"]
    if "200" in responses and method == "get" and not path.endswith(("/events", "/health", "/status", "/tasks")):
        codes.add("304")
    responses |= {code: {"$ref": f"#/components/responses/{code}"} for code in codes}
    operation["responses"] = dict(sorted(responses.items()))


def _error(code: str) -> dict[str, Any]:
    model = ValidationProblem if code == "422" else Problem
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    return {"description": _ERRORS[code], "content": content}
