"""The application: routes, errors and limits put together around a context."""

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from hopper.gateway.access import admit
from hopper.gateway.context import Context
from hopper.gateway.http import errors, openapi
from hopper.gateway.http.observing import Observing
from hopper.gateway.routes import actions, instances, probes, registry, stacks, templates

ROUTERS: tuple[APIRouter, ...] = (
    instances.router,
    actions.router,
    templates.router,
    stacks.router,
    registry.router,
)


def build_app(context: Context | None) -> FastAPI:
    """Return the ASGI application that serves this context; without one it can only describe itself."""
    app = FastAPIOffline(  # whose /docs needs nothing from elsewhere
        redoc_url=None,
        title="Hopper",
        summary="Hierarchies of long-lived instances on Kubernetes",
        version="v1",
        redirect_slashes=False,
        telemetry={"tracing": False},
        generate_unique_id_function=lambda route: route.operation_id or route.name,
    )
    app.state.context = context
    app.state.admit = admit
    errors.install(app)
    app.add_middleware(Observing)
    app.include_router(probes.router)
    for router in ROUTERS:
        app.include_router(router, prefix="/api/v1")

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi.build(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]
    return app
