"""The ASGI application: routes, error handlers and middleware."""

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from hopper.gateway.access import authenticate
from hopper.gateway.context import Context
from hopper.gateway.http.docs_page import add_docs_page
from hopper.gateway.http.error_handlers import install_error_handlers
from hopper.gateway.http.guard import RequestGuard
from hopper.gateway.http.observability import ObservabilityMiddleware
from hopper.gateway.http.openapi import build_openapi
from hopper.gateway.routes import actions, instances, probes, registry, stacks, templates

ROUTERS: tuple[APIRouter, ...] = (
    instances.router,
    actions.router,
    templates.router,
    stacks.router,
    registry.router,
)


def build_app(context: Context | None) -> FastAPI:
    """Return the ASGI application for a context. Without a context, it only provides its OpenAPI document."""
    app = FastAPIOffline(  # serves the files of /docs, so that they need not come from other servers
        docs_url=None,
        redoc_url=None,
        title="Hopper",
        summary="Hierarchies of long-lived instances on Kubernetes",
        version="v1",
        redirect_slashes=False,
        telemetry={"tracing": False},
        generate_unique_id_function=lambda route: route.operation_id or route.name,
    )
    app.state.context = context
    app.state.authenticate = authenticate
    install_error_handlers(app)
    app.add_middleware(RequestGuard)
    app.add_middleware(ObservabilityMiddleware)
    add_docs_page(app)
    app.include_router(probes.router)
    for router in ROUTERS:
        app.include_router(router, prefix="/api/v1")

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build_openapi(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app
