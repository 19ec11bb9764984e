"""Prometheus metrics and the access log of the gateway."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hopper.gateway.http.error_handlers import error_response
from hopper.gateway.http.errors import unavailable

access_logger = logging.getLogger("hopper.gateway.access")

# Removes the `_created` series of each counter, which no dashboard uses.
disable_created_metrics()  # type: ignore[no-untyped-call]

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_REQUEST_ID = b"x-request-id"
_VALID_REQUEST_ID = re.compile(rb"[\w.-]{1,64}")
# Successful requests to these paths are not logged.
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


class GatewayMetrics:
    """Prometheus metrics of one gateway, in their own registry so that two gateways in a process do not share them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = self._counter(
            "hopper_gateway_requests", "Number of HTTP requests served.", "method", "route", "code"
        )
        self.api_requests = self._counter(
            "hopper_gateway_api_requests", "Number of requests sent to the API server.", "verb", "resource", "code"
        )
        self.request_seconds = Histogram(
            "hopper_gateway_request_duration_seconds",
            "Time from the request to the end of its response. Event streams are not included.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def add_gauges(
        self,
        *,
        instances: Callable[[], float],
        streams: Callable[[], float],
        connections: Callable[[], float],
    ) -> None:
        """Register gauges that call these functions at each scrape."""
        instance_gauge = Gauge(
            "hopper_gateway_instances", "Number of HopperInstances in the index.", registry=self._registry
        )
        instance_gauge.set_function(instances)
        stream_gauge = Gauge("hopper_gateway_streams", "Number of open event streams.", registry=self._registry)
        stream_gauge.set_function(streams)
        connection_gauge = Gauge("hopper_gateway_connections", "Number of open connections.", registry=self._registry)
        connection_gauge.set_function(connections)

    def render(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self._registry)


class ObservabilityMiddleware:
    """ASGI middleware that logs and counts each request, and adds the X-Request-ID header to its response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, code, is_stream, has_started = time.perf_counter(), 500, False, False
        request_id = _request_id(scope)

        async def observe_and_send(message: Message) -> None:
            nonlocal code, is_stream, has_started
            if message["type"] == "http.response.start":
                code, has_started = message["status"], True
                message["headers"] = [*message["headers"], (_REQUEST_ID, request_id)]
                is_stream = (b"content-type", b"text/event-stream") in _content_types(message)
            await send(message)

        try:
            await self._app(scope, receive, observe_and_send)
        except asyncio.CancelledError:
            # uvicorn cancels open requests at the end of the grace period. Without a response, it would send a 500.
            if has_started or not scope["app"].state.context.stopping.is_set():
                raise
            await _send_shutdown_error(scope, receive, observe_and_send)
        finally:
            self._record(scope, code, time.perf_counter() - started, request_id, is_stream=is_stream)

    def _record(self, scope: Scope, code: int, seconds: float, request_id: bytes, *, is_stream: bool) -> None:
        method, route = scope["method"], getattr(scope.get("route"), "path", "none")
        metrics: GatewayMetrics = scope["app"].state.context.metrics
        metrics.requests.labels(method, route, code).inc()
        if not is_stream:
            metrics.request_seconds.labels(route).observe(seconds)
        if route in _PROBES and code == 200:
            return
        # Percent-encoded as received, so that a path cannot add lines to the log.
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
        access_logger.info("%s", " ".join(f"{key}={value}" for key, value in fields.items()), extra={"fields": fields})


async def _send_shutdown_error(scope: Scope, receive: Receive, send: Send) -> None:
    problem = unavailable("the gateway shut down before the request was complete; a write may still have taken effect")
    await error_response(problem.code, problem.detail, headers=problem.headers)(scope, receive, send)


def _request_id(scope: Scope) -> bytes:
    """Return the caller's X-Request-ID if it is valid, or else a new id."""
    sent = next((value for name, value in scope["headers"] if name == _REQUEST_ID), b"")
    return sent if _VALID_REQUEST_ID.fullmatch(sent) else os.urandom(8).hex().encode()


def _content_types(message: Message) -> list[tuple[bytes, bytes]]:
    return [(name, value.partition(b";")[0]) for name, value in message["headers"] if name == b"content-type"]
