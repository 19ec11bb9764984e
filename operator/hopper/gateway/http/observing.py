"""Who asked what, and what came of it: one line in the access log and a few numbers for every request."""

import asyncio
import logging
import os
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hopper.gateway.http.errors import answer, unavailable
from hopper.gateway.http.metrics import Metrics

logger = logging.getLogger("hopper.gateway.access")

_REQUEST_ID = b"x-request-id"
_GOOD_ID = re.compile(rb"[\w.-]{1,64}")
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


class Observing:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, code, streams, is_answered = time.perf_counter(), 500, False, False
        request_id = _id_of(scope)

        async def note(message: Message) -> None:
            nonlocal code, streams, is_answered
            if message["type"] == "http.response.start":
                code, is_answered = message["status"], True
                message["headers"] = [*message["headers"], (_REQUEST_ID, request_id)]
                streams = (b"content-type", b"text/event-stream") in _types(message)
            await send(message)

        try:
            await self._app(scope, receive, note)
        except asyncio.CancelledError:
            # The gateway ends and the time to finish is over: uvicorn would make an error of its own of that.
            if is_answered or not scope["app"].state.context.stopping.is_set():
                raise
            await _at_the_end(scope, receive, note)
        finally:
            self._tell(scope, code, time.perf_counter() - started, request_id, streams=streams)

    def _tell(self, scope: Scope, code: int, seconds: float, request_id: bytes, *, streams: bool) -> None:
        method, route = scope["method"], getattr(scope.get("route"), "path", "none")
        metrics: Metrics = scope["app"].state.context.metrics
        metrics.requests.labels(method, route, code).inc()
        if not streams:
            metrics.seconds.labels(route).observe(seconds)
        if route in _PROBES and code == 200:
            return
        # As it came, percent-encoded: nobody writes lines of their own into the log.
        path = (scope.get("raw_path") or scope["path"].encode()).decode("ascii", errors="replace")
        query = scope["query_string"].decode("ascii", errors="replace")
        fields = {
            "caller": scope.get("hopper.caller", "-"),
            "client": scope["client"][0] if scope.get("client") else "-",
            "method": method,
            "path": f"{path}?{query}" if query else path,
            "code": code,
            "seconds": round(seconds, 6),
            "request_id": request_id.decode("ascii"),
        }
        logger.info("%s", " ".join(f"{key}={value}" for key, value in fields.items()), extra={"fields": fields})


async def _at_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    problem = unavailable("the gateway ended before this was done; it may happen all the same")
    await answer(problem.code, problem.detail, headers=problem.headers)(scope, receive, send)


def _id_of(scope: Scope) -> bytes:
    """Return the id that the caller has given the request, or a new one."""
    sent = next((value for name, value in scope["headers"] if name == _REQUEST_ID), b"")
    return sent if _GOOD_ID.fullmatch(sent) else os.urandom(8).hex().encode()


def _types(message: Message) -> list[tuple[bytes, bytes]]:
    return [(name, value.partition(b";")[0]) for name, value in message["headers"] if name == b"content-type"]
