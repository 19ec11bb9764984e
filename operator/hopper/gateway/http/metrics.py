"""Prometheus metrics of the gateway."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.process_collector import ProcessCollector

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter that nobody reads

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One set of metrics, in a registry of its own: two gateways in one process do not share numbers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = self._counter("hopper_gateway_requests", "Requests answered.", "method", "route", "code")
        self.api_requests = self._counter("hopper_gateway_api_requests", "Requests sent.", "verb", "resource", "code")
        self.seconds = Histogram(
            "hopper_gateway_request_duration_seconds",
            "Time until an answer was sent; streams are not counted.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def watch(self, *, instances: Callable[[], float], streams: Callable[[], float]) -> None:
        """Read numbers at each scrape."""
        Gauge("hopper_gateway_instances", "Instances known.", registry=self._registry).set_function(instances)
        Gauge("hopper_gateway_streams", "Open event streams.", registry=self._registry).set_function(streams)

    def render(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)
