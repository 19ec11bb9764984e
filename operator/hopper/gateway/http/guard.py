"""Checks of each request before its route is known, and the security headers of each response."""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hopper.gateway.http.connections import is_loopback
from hopper.gateway.http.error_handlers import error_response
from hopper.gateway.http.errors import ForbiddenError, HttpNotFoundError, ProblemError
from hopper.gateway.http.responses import SECURITY_HEADERS

# The kubelet and Prometheus use the address of the pod as the host.
_PROBE_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
# These would turn into separators of the path, so that a name could select another route.
_ENCODED_SEPARATORS = (b"%2f", b"%5c")
_SECURITY_HEADERS = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


class RequestGuard:
    """ASGI middleware that rejects foreign hosts and origins, and paths with encoded separators."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_security_headers(message["headers"], scope["path"])
            await send(message)

        settings = scope["app"].state.context.settings
        try:
            check_path(scope.get("raw_path") or b"")
            if settings.local_only or scope["path"] not in _PROBE_PATHS:
                check_host(
                    Headers(scope=scope), scope["scheme"], settings.allowed_hosts, local_only=settings.local_only
                )
        except ProblemError as problem:
            await error_response(problem.code, problem.detail)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def check_path(raw_path: bytes) -> None:
    """Raise `HttpNotFoundError` for an encoded separator, which is never part of a name."""
    path = raw_path.lower()
    if any(separator in path for separator in _ENCODED_SEPARATORS):
        raise HttpNotFoundError("no route has an encoded / or \\ in its path; send names without them")


def check_host(headers: Headers, scheme: str, allowed_hosts: Collection[str], *, local_only: bool) -> None:
    """Raise `ForbiddenError` if the Host or Origin header names another host than the gateway has.

    A web page can make the user's browser send requests to a loopback address, under its own host name (DNS rebinding)
    or from another program on the machine. With `local_only`, the host must be a loopback address or an allowed one,
    and a request from a page must come from the gateway's own page.
    """
    if not (local_only or allowed_hosts):
        return
    hosts = headers.getlist("host")
    name = _host_name(hosts[0]) if len(hosts) == 1 else ""
    if name not in allowed_hosts and not (local_only and is_loopback(name)):
        if local_only:
            detail = "a gateway without authentication serves only this machine: use a loopback address as the host"
        else:
            detail = "the gateway does not serve the host of this request; use a name given by --allowed-host"
        raise ForbiddenError(detail)
    origins = headers.getlist("origin")
    if local_only and any(origin.lower() != f"{scheme}://{hosts[0].lower()}" for origin in origins):
        raise ForbiddenError("a gateway without authentication serves no web pages of other origins; use its own /docs")


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _with_security_headers(sent: list[tuple[bytes, bytes]], path: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response with those that it does not set itself."""
    names = {name.lower() for name, _ in sent}
    added = [header for header in _SECURITY_HEADERS if header[0] not in names]
    if path.startswith("/api/") and b"cache-control" not in names:
        # Answers with an ETag may be stored, but each use must be checked with the gateway.
        added.append((b"cache-control", b"private, no-cache" if b"etag" in names else b"no-store"))
    return [*sent, *added]
