"""Prometheus metrics of the operator."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

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

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter that nobody reads

_RESULTS = ("ok", "conflict", "error")
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class OperatorMetrics:
    """One set of metrics, in a registry of its own: two operators in one process do not share numbers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.transitions = self._counter("hopper_transitions", "Transitions written.", "from", "to", "reason")
        self.illegal_transitions = self._counter(
            "hopper_illegal_transitions", "Transitions that the table does not allow, refused. Must stay 0."
        )
        self.reconciles = self._counter(
            "hopper_reconciles", "Reconciles by result: ok, error, or conflict (changed in between).", "result"
        )
        for result in _RESULTS:  # there from the start, or the first error would not be an increase
            self.reconciles.labels(result)
        self.api_requests = self._counter(
            "hopper_api_requests", "Requests to the API server; code none: no answer.", "verb", "resource", "code"
        )
        self.events_dropped = self._counter("hopper_events_dropped", "Kubernetes Events given up on.")
        self.reconcile_seconds = Histogram(
            "hopper_reconcile_duration_seconds", "Time of one reconcile.", buckets=_BUCKETS, registry=self._registry
        )

    def watch_instances(self, instances: Iterable[HopperInstance]) -> None:
        """Count instances by phase and scope at each scrape."""
        self._registry.register(_InstanceCollector(instances))

    def watch_queue(self, depth: Callable[[], float], age: Callable[[], float]) -> None:
        """Read depth and age of the queue at each scrape."""
        Gauge(
            "hopper_queue_depth", "Instances to be reconciled that wait or are in work.", registry=self._registry
        ).set_function(depth)
        Gauge(
            "hopper_queue_age_seconds", "For how long the first of them in line has waited.", registry=self._registry
        ).set_function(age)

    def watch_leadership(self, held: Callable[[], bool]) -> None:
        """Read at each scrape whether this process may write."""
        Gauge(
            "hopper_leader", "1 where this process works, 0 where it stands by.", registry=self._registry
        ).set_function(held)

    def render(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)


class _InstanceCollector(Collector):
    def __init__(self, instances: Iterable[HopperInstance]) -> None:
        self._instances = instances

    def collect(self) -> Iterator[GaugeMetricFamily]:
        tally = Tally((it.status.phase, it.spec.scope) for it in self._instances)
        family = GaugeMetricFamily("hopper_instances", "Instances by phase and scope.", labels=["phase", "scope"])
        for (phase, scope), count in sorted(tally.items()):
            family.add_metric([phase, scope], count)
        yield family
