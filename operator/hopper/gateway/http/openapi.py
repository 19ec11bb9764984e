"""The OpenAPI document: the routes' own declarations, completed with the parts that all routes share."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from hopper.gateway.models.common import Problem, ValidationProblem

DESCRIPTION = """\
The REST API of Hopper: HopperInstances, their lifecycle and their hierarchy. Reads are served from memory and cause no
request to the API server. Writes change the desired state of an object; the operator then reconciles it.

An `id` is the name of an object; every `id` parameter also accepts the uid. Enum values are accepted in any case.
Requests use the gateway's own namespace unless `?namespace=` names another one. Lists and instances carry an `ETag`.
"""

_SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A Kubernetes bearer token, for a gateway with `--auth token`.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "An API key from a Secret, for a gateway with `--auth apikey`.",
    },
}
_ERROR_DESCRIPTIONS: dict[str, str] = {
    "400": "The state of the instance does not allow the request, or the parent or template does not exist.",
    "401": "The request has no valid credentials.",
    "403": "The caller lacks the permission, or the instance is protected from deletion.",
    "404": "The object does not exist.",
    "408": "The body was not complete in time.",
    "409": "The name is in use, the object changed in the meantime, has children, is already in that state, or its "
    "parent has no free slot.",
    "413": "The body is too large.",
    "422": "The body or a parameter is invalid. `errors` names the fields.",
    "429": "Too many requests, event streams or waiting requests. `Retry-After` gives the seconds to wait.",
    "503": "The API server is not available, or the gateway has not completed its initial list.",
}
_NOT_MODIFIED = {"description": "The response has not changed since the version in `If-None-Match`."}
_ERRORS_OF_EVERY_ROUTE = ("401", "403", "422", "429", "503")


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application."""
    document: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=DESCRIPTION, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (Problem, ValidationProblem):
        schema = TypeAdapter(model).json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
    document["components"]["securitySchemes"] = _SECURITY_SCHEMES
    errors = {code: _error_response(code) for code in _ERROR_DESCRIPTIONS}
    document["components"]["responses"] = errors | {"304": _NOT_MODIFIED}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/api/"):
                _complete(path, method, operation)
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
            _forbid_unknown_fields(operation.get("requestBody", {}), schemas)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an optional parameter without null, which URLs and headers cannot express."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) != 1:
        return schema
    merged: dict[str, Any] = kinds[0] | {key: value for key, value in schema.items() if key != "anyOf"}
    return merged


def _forbid_unknown_fields(part: Any, schemas: dict[str, Any]) -> None:
    """Add `additionalProperties: false` to every schema of a request body, also to nested ones."""
    if isinstance(part, list):
        for item in part:
            _forbid_unknown_fields(item, schemas)
    elif isinstance(part, dict):
        schema = schemas.get(part.get("$ref", "").rpartition("/")[2]) if isinstance(part.get("$ref"), str) else part
        if schema is None or schema.get("additionalProperties") is False:
            return
        if "properties" in schema:
            schema["additionalProperties"] = False
        for value in schema.values():
            _forbid_unknown_fields(value, schemas)


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add the security schemes and the error responses of a route under `/api`."""
    operation["security"] = [{scheme: []} for scheme in _SECURITY_SCHEMES] + [{}]
    codes = {*_ERRORS_OF_EVERY_ROUTE}
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


def _error_response(code: str) -> dict[str, Any]:
    model = ValidationProblem if code == "422" else Problem
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    return {"description": _ERROR_DESCRIPTIONS[code], "content": content}
