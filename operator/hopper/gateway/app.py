"""The application: routes, errors and limits put together around a context."""

from fastapi import APIRouter, FastAPI

from hopper.gateway import errors
from hopper.gateway.context import Context
from hopper.gateway.observing import Observing
from hopper.gateway.routes import actions, instances, probes, registry, stacks, templates

ROUTERS: tuple[APIRouter, ...] = (
    instances.router,
    actions.router,
    templates.router,
    stacks.router,
    registry.router,
)


def build_app(context: Context) -> FastAPI:
    """Return the ASGI application that serves this context."""
    app = FastAPI(
        title="Hopper",
        summary="Hierarchies of long-lived instances on Kubernetes",
        version="v1",
        redirect_slashes=False,
        telemetry={"tracing": False},
    )
    app.state.context = context
    errors.install(app)
    app.add_middleware(Observing, metrics=context.metrics)
    app.include_router(probes.router)
    for router in ROUTERS:
        app.include_router(router, prefix="/api/v1")
    return app
