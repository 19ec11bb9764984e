"""Metrics of the operator, and the HTTP server for `/metrics`, `/healthz` and `/readyz`."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from hopper.api.instance import HopperInstance
from hopper.process.system import ALL_ADDRESSES, open_listener

disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series

_RESULTS = ("ok", "conflict", "error")
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class OperatorMetrics:
    """The metrics of an operator, in a registry of their own, so that two operators in a process share no numbers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.transitions = self._counter("hopper_transitions", "Phase transitions written.", "from", "to", "reason")
        self.illegal_transitions = self._counter(
            "hopper_illegal_transitions", "Transitions rejected because the lifecycle does not allow them. Must stay 0."
        )
        self.reconciles = self._counter(
            "hopper_reconciles",
            "Reconciles by result: ok, error, or conflict (an object changed meanwhile).",
            "result",
        )
        for result in _RESULTS:  # a series that starts with its first error would show no increase
            self.reconciles.labels(result)
        self.api_requests = self._counter(
            "hopper_api_requests",
            "Requests to the API server by HTTP status code; none stands for no answer.",
            "verb",
            "resource",
            "code",
        )
        self.events_dropped = self._counter("hopper_events_dropped", "Kubernetes Events that could not be written.")
        self.reconcile_seconds = Histogram(
            "hopper_reconcile_duration_seconds", "Duration of one reconcile.", buckets=_BUCKETS, registry=self._registry
        )

    def watch_instances(self, instances: Iterable[HopperInstance]) -> None:
        """Count instances by phase and scope at each scrape."""
        self._registry.register(_InstanceCollector(instances))

    def watch_queue(self, depth: Callable[[], float], age: Callable[[], float]) -> None:
        """Read depth and age of the queue at each scrape."""
        Gauge(
            "hopper_queue_depth", "Instances that are queued or being reconciled.", registry=self._registry
        ).set_function(depth)
        Gauge(
            "hopper_queue_age_seconds",
            "Time that the first instance in the queue has waited.",
            registry=self._registry,
        ).set_function(age)

    def watch_leadership(self, is_leader: Callable[[], bool]) -> None:
        """Read at each scrape whether this process may write."""
        Gauge(
            "hopper_leader", "1 if this process reconciles, 0 if it stands by.", registry=self._registry
        ).set_function(is_leader)

    def render(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)


class _InstanceCollector(Collector):
    def __init__(self, instances: Iterable[HopperInstance]) -> None:
        self._instances = instances

    def collect(self) -> Iterator[GaugeMetricFamily]:
        tally = Tally((instance.status.phase, instance.spec.scope) for instance in self._instances)
        family = GaugeMetricFamily("hopper_instances", "Instances by phase and scope.", labels=["phase", "scope"])
        for (phase, scope), count in sorted(tally.items()):
            family.add_metric([phase, scope], count)
        yield family


class StatusServer:
    """HTTP server for metrics and probes. A probe answers 200, or 503 with the list of problems."""

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
        """Listen; port 0 picks a free port. Raises `OSError` if the port is in use."""
        await self._runner.setup()
        await web.SockSite(self._runner, open_listener(host, port)).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _serve_health(self, request: web.Request) -> web.Response:
        return _answer_probe(self._health())

    async def _serve_readiness(self, request: web.Request) -> web.Response:
        return _answer_probe(self._health() + self._readiness())


def _answer_probe(problems: list[str]) -> web.Response:
    text = "".join(f"{problem}\n" for problem in problems) or "ok\n"
    return web.Response(status=503 if problems else 200, text=text)
