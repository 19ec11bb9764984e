"""The application: routes, errors and limits put together around a context."""

from fastapi import APIRouter, FastAPI

from hopper.gateway import errors
from hopper.gateway.context import Context
from hopper.gateway.routes import instances

ROUTERS: tuple[APIRouter, ...] = (instances.router,)


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
    for router in ROUTERS:
        app.include_router(router, prefix="/api/v1")
    return app
