"""Everything that can go wrong, and the one place that turns it into an answer.

Each error answer has the form `{"error_type", "detail"}`; those about a body or a parameter (422) add `errors`.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from hopper.gateway.http.wording import worded
from hopper.ports import ApiError, ConflictError, NotFoundError, RefusedError

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1

# Starlette's own answers, and those of the API server.
_TYPES: Mapping[int, str] = {
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
FieldError = dict[str, str]


class ProblemError(HTTPException):
    """An error answer. `error_type` names it for programs, `detail` tells people what to do about it."""

    code = 500

    def __init__(
        self, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(self.code, detail, headers)
        self.errors = errors


class BadRequestError(ProblemError):
    """The state does not allow it, or something that is named does not exist."""

    code = 400


class UnauthorizedError(ProblemError):
    """Nobody knows who is asking."""

    code = 401


class ForbiddenError(ProblemError):
    """The caller may not."""

    code = 403


class MissingError(ProblemError):
    """There is no such thing."""

    code = 404


class TakenError(ProblemError):
    """Already so, name taken, in use, or edited by someone else."""

    code = 409


class TooSlowError(ProblemError):
    """The body does not come."""

    code = 408


class TooLargeError(ProblemError):
    """The body is larger than the gateway takes."""

    code = 413


class InvalidError(ProblemError):
    """A body or a parameter is not as it has to be; `errors` name the fields."""

    code = 422


class TooManyError(ProblemError):
    """The caller asks too often, or too many streams are open."""

    code = 429


class UnavailableProblemError(ProblemError):
    """The API server cannot be reached, or the registry is not complete yet."""

    code = 503


def field_error(location: Sequence[int | str], message: str, kind: str) -> FieldError:
    """Return an entry of `errors`: where it is wrong, such as `body -> scope`, what, and which kind of mistake."""
    return {"field": " -> ".join(map(str, location)), "message": message, "type": kind}


def invalid(errors: Sequence[Mapping[str, Any]], *prefix: str) -> InvalidError:
    """Return the answer to what pydantic found wrong. Values are not repeated: they may be secret."""
    found = [field_error((*prefix, *it["loc"]), worded(it["type"], it["msg"]), it["type"]) for it in errors]
    return InvalidError(_told(found), errors=found)


def _told(errors: Sequence[FieldError]) -> str:
    return "; ".join(f"{it['field']}: {it['message']}" for it in errors[:5])


def invalid_field(field: str, message: str, kind: str) -> InvalidError:
    """Return a 422 about one field of the body."""
    return InvalidError(f"{field}: {message}", errors=[field_error(("body", *field.split(".")), message, kind)])


def problem_of(error: ApiError) -> ProblemError:
    """Return the answer that follows from what the API server said to a write."""
    said = str(error)
    match error:
        case NotFoundError():
            return MissingError(said)
        case ConflictError():
            return TakenError(said)
        case RefusedError(code=403):
            return ForbiddenError(said)
        case RefusedError():
            causes = [field_error(("body", *_steps(it.field)), it.message, it.reason) for it in error.causes]
            detail = _told(causes) if causes else said
            return InvalidError(detail, errors=causes or [field_error(("body",), said, "refused")])
        case _:
            return unavailable(f"the API server is not reachable or not able to answer: {said}")


def _steps(field: str) -> list[str]:
    """Return the steps of a path such as `spec.env[0].name`."""
    return [step for step in re.split(r"[.\[\]]+", field) if step]


def unavailable(detail: str) -> UnavailableProblemError:
    """Return a 503 that says when to come back."""
    return UnavailableProblemError(detail, headers={"Retry-After": str(RETRY_SECONDS)})


def answer(
    code: int, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as it goes over the wire."""
    body: dict[str, Any] = {
        "error_type": _TYPES.get(code) or HTTPStatus(code).phrase.replace(" ", ""),
        "detail": detail,
    }
    if code == 422:
        body["errors"] = list(errors)
    return Response(to_json(body), code, headers, "application/json")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, ProblemError):
        return answer(error.code, error.detail, errors=error.errors, headers=error.headers)
    detail = error.detail
    if error.status_code == 404:
        detail = f"there is no {request.url.path}; the routes are listed in /openapi.json"
    elif error.status_code == 405:
        # What is not part of the API, such as /docs, is for reading.
        allowed = ", ".join(_methods_of(request)) or "GET"
        detail = f"{request.method} is not for {request.url.path}, only {allowed}"
        return answer(405, detail, headers={"Allow": allowed})
    return answer(error.status_code, detail, headers=error.headers)


def _methods_of(request: Request) -> list[str]:
    """Return the methods that a path has, over all its routes: Starlette names those of the first one only."""
    path, found = request.url.path, set[str]()
    for template, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found |= {method.upper() for method in operations}
    return sorted(found)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = invalid(error.errors())
    return answer(found.code, found.detail, errors=found.errors)


async def _api(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return await _http(request, problem_of(error))


async def _unexpected(request: Request, error: Exception) -> Response:
    return answer(500, "the gateway failed at this; its log says more")


def install(app: FastAPI) -> None:
    """Have every error of this application answered from here."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(ApiError, _api)
    app.add_exception_handler(Exception, _unexpected)
