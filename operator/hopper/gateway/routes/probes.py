"""`/healthz`, `/readyz`, `/metrics`: for those who run the gateway. They need no authentication."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from hopper.gateway.context import Context

router = APIRouter(tags=["probes"])


def _verdict(problems: list[str]) -> Response:
    return PlainTextResponse("".join(f"{it}\n" for it in problems) or "ok\n", 503 if problems else 200)


@router.get("/healthz", response_class=PlainTextResponse, summary="Is it alive?")
async def get_health(request: Request) -> Response:
    """Answer 503 where the process had better be started anew."""
    context: Context = request.app.state.context
    return _verdict(context.problems())


@router.get("/readyz", response_class=PlainTextResponse, summary="Can it serve?")
async def get_readiness(request: Request) -> Response:
    """Answer 503 until everything that exists is known, and when it is about to end."""
    context: Context = request.app.state.context
    return _verdict([*context.problems(), *context.unready()])


@router.get("/metrics", response_class=PlainTextResponse, summary="Numbers for Prometheus")
async def get_metrics(request: Request) -> Response:
    """Answer in Prometheus' text format."""
    context: Context = request.app.state.context
    return Response(context.metrics.render(), media_type="text/plain; version=0.0.4")
