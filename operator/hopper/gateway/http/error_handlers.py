"""Exception handlers that turn every error into a response.

Each error response has the form `{"error_type", "detail"}`. A 422 adds `errors`, one entry for each invalid field.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from hopper.gateway.http.errors import (
    FieldError,
    ForbiddenError,
    HttpConflictError,
    HttpNotFoundError,
    ProblemError,
    ValidationFailedError,
    unavailable,
)
from hopper.gateway.http.responses import SECURITY_HEADERS
from hopper.gateway.http.validation_errors import field_error, summarize, validation_failed
from hopper.ports import ApiError, ConflictError, NotFoundError, RefusedError

# `error_type` by status code; other codes use their HTTP phrase.
_ERROR_TYPES: Mapping[int, str] = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    409: "Conflict",
    413: "PayloadTooLarge",
    422: "ValidationError",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


def error_response(
    code: int, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as a response."""
    body: dict[str, Any] = {
        "error_type": _ERROR_TYPES.get(code) or HTTPStatus(code).phrase.replace(" ", ""),
        "detail": detail,
    }
    if code == 422:
        body["errors"] = list(errors)
    return Response(to_json(body), code, headers, "application/json")


def problem_of(error: ApiError) -> ProblemError:
    """Return the error response for an error of the API server."""
    message = str(error)
    match error:
        case NotFoundError():
            return HttpNotFoundError(message)
        case ConflictError():
            return HttpConflictError(message)
        case RefusedError(code=403):
            return ForbiddenError(message)
        case RefusedError():
            errors = [
                field_error(("body", *_path_steps(cause.field)), cause.message, cause.reason) for cause in error.causes
            ]
            detail = summarize(errors) if errors else message
            return ValidationFailedError(detail, errors=errors or [field_error(("body",), message, "refused")])
        case _:
            return unavailable(f"the API server is not available: {message}; try again later")


def _path_steps(field: str) -> list[str]:
    """Return the steps of a path such as `spec.env[0].name`."""
    return [step for step in re.split(r"[.\[\]]+", field) if step]


async def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, ProblemError):
        return error_response(error.code, error.detail, errors=error.errors, headers=error.headers)
    path = request.url.path
    if error.status_code == 404:
        return error_response(404, f"no route {path}; see /openapi.json for all routes", headers=error.headers)
    if error.status_code == 405:
        # Routes outside the API, such as /docs, have only GET.
        allowed = ", ".join(_methods_of(request)) or "GET"
        detail = f"{request.method} is not allowed for {path}; use {allowed}"
        return error_response(405, detail, headers={"Allow": allowed})
    return error_response(error.status_code, error.detail, headers=error.headers)


def _methods_of(request: Request) -> list[str]:
    """Return the methods of all routes with the request's path. Starlette names those of the first route only."""
    path, methods = request.url.path, set[str]()
    for template, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            methods |= {method.upper() for method in operations}
    return sorted(methods)


async def _handle_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problem = validation_failed(error.errors())
    return error_response(problem.code, problem.detail, errors=problem.errors)


async def _handle_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return await _handle_http_exception(request, problem_of(error))


async def _handle_unexpected_error(request: Request, error: Exception) -> Response:
    # This response does not pass the middleware.
    return error_response(500, "internal error; see the log of the gateway", headers=SECURITY_HEADERS)


def install_error_handlers(app: FastAPI) -> None:
    """Register the handlers of this module with an application."""
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(ApiError, _handle_api_error)
    app.add_exception_handler(Exception, _handle_unexpected_error)
