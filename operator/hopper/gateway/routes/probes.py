"""Probes and metrics: `/healthz`, `/readyz` and `/metrics`, without authentication."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from hopper.gateway.context import Context

router = APIRouter(tags=["probes"])


def _probe_response(problems: list[str]) -> Response:
    return PlainTextResponse("".join(f"{problem}\n" for problem in problems) or "ok\n", 503 if problems else 200)


@router.get("/healthz", response_class=PlainTextResponse, summary="Liveness probe")
async def get_health(request: Request) -> Response:
    """Return 503 if the process should be restarted, with one reason per line."""
    context: Context = request.app.state.context
    return _probe_response(context.problems())


@router.get("/readyz", response_class=PlainTextResponse, summary="Readiness probe")
async def get_readiness(request: Request) -> Response:
    """Return 503 until the initial list is complete and during shutdown, with one reason per line."""
    context: Context = request.app.state.context
    return _probe_response([*context.problems(), *context.not_ready()])


@router.get("/metrics", response_class=PlainTextResponse, summary="Prometheus metrics")
async def get_metrics(request: Request) -> Response:
    """Return the metrics of the gateway in the Prometheus text format."""
    context: Context = request.app.state.context
    return Response(context.metrics.render(), media_type="text/plain; version=0.0.4")
