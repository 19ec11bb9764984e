"""`/metrics`, `/healthz` and `/readyz` of the operator."""

from collections.abc import Callable

from aiohttp import web

from hopper.controller.metrics import OperatorMetrics
from hopper.process.system import ALL_ADDRESSES, open_listener


class StatusServer:
    """Serves plain text on one port; 200 is good, 503 names what is wrong."""

    def __init__(
        self, metrics: OperatorMetrics, health: Callable[[], list[str]], readiness: Callable[[], list[str]]
    ) -> None:
        self._metrics = metrics
        self._health = health
        self._readiness = readiness
        app = web.Application()
        app.router.add_get("/metrics", self._serve_metrics)
        app.router.add_get("/healthz", self._serve_health)
        app.router.add_get("/readyz", self._serve_readiness)
        self._runner = web.AppRunner(app, access_log=None)
        self.port = 0

    async def start(self, port: int, host: str = ALL_ADDRESSES) -> None:
        """Listen, by default on all addresses; port 0 picks a free one. Raises `OSError` where the port is taken."""
        await self._runner.setup()
        await web.SockSite(self._runner, open_listener(host, port)).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _serve_health(self, request: web.Request) -> web.Response:
        return _verdict(self._health())

    async def _serve_readiness(self, request: web.Request) -> web.Response:
        return _verdict(self._health() + self._readiness())


def _verdict(problems: list[str]) -> web.Response:
    return web.Response(status=503 if problems else 200, text="".join(f"{it}\n" for it in problems) or "ok\n")
