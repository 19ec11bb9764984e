"""Error responses of the gateway as exceptions, one class for each status code."""

from collections.abc import Mapping, Sequence

from starlette.exceptions import HTTPException

RETRY_SECONDS = 1

FieldError = dict[str, str]


class ProblemError(HTTPException):
    """An error response. `detail` says what is wrong and what to do; the status code determines `error_type`."""

    code = 500

    def __init__(
        self, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(self.code, detail, headers)
        self.errors = errors


class BadRequestError(ProblemError):
    """400: the state of the instance forbids the request, or a parent or template in the request does not exist."""

    code = 400


class UnauthorizedError(ProblemError):
    """401: the request has no valid credentials."""

    code = 401


class ForbiddenError(ProblemError):
    """403: the caller lacks the permission, or the object is protected."""

    code = 403


class HttpNotFoundError(ProblemError):
    """404: the object does not exist."""

    code = 404


class RequestTimeoutError(ProblemError):
    """408: the body was not complete in time."""

    code = 408


class HttpConflictError(ProblemError):
    """409: the name is in use, the object changed in the meantime, or is already in the requested state."""

    code = 409


class PayloadTooLargeError(ProblemError):
    """413: the body is larger than the gateway accepts."""

    code = 413


class ValidationFailedError(ProblemError):
    """422: the body or a parameter is invalid. `errors` names the fields."""

    code = 422


class TooManyRequestsError(ProblemError):
    """429: the caller exceeds the request rate, or too many streams or waiting requests are open."""

    code = 429


class ServiceUnavailableError(ProblemError):
    """503: the API server is not available, or the initial list is not complete."""

    code = 503


def unavailable(detail: str) -> ServiceUnavailableError:
    """Return a 503 with a Retry-After header."""
    return ServiceUnavailableError(detail, headers={"Retry-After": str(RETRY_SECONDS)})
