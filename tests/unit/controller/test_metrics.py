"""The metrics of the operator. Their names and labels are an interface."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from hopper.api.enums import Phase, Scope
from hopper.controller.monitoring import OperatorMetrics
from tests.unit.domain.sample_instances import instance


def samples(metrics: OperatorMetrics) -> dict[tuple[str, frozenset[str]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    every = (sample for family in families for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.values())): sample.value for sample in every}


def test_the_names_and_types() -> None:
    metrics = OperatorMetrics()
    metrics.watch_instances([])
    metrics.watch_queue(lambda: 0, lambda: 0)
    metrics.watch_leadership(lambda: True)
    families = {family.name: family.type for family in text_string_to_metric_families(metrics.render().decode())}
    own = {name: kind for name, kind in families.items() if name.startswith("hopper_")}
    assert own == {
        "hopper_transitions": "counter",
        "hopper_illegal_transitions": "counter",
        "hopper_reconciles": "counter",
        "hopper_api_requests": "counter",
        "hopper_events_dropped": "counter",
        "hopper_reconcile_duration_seconds": "histogram",
        "hopper_instances": "gauge",
        "hopper_queue_depth": "gauge",
        "hopper_queue_age_seconds": "gauge",
        "hopper_leader": "gauge",
    }
    assert "process_resident_memory_bytes" in families


def test_all_results_exist_before_the_first_error() -> None:
    values = samples(OperatorMetrics())
    for result in ("ok", "conflict", "error"):
        assert values["hopper_reconciles_total", frozenset({result})] == 0


def test_instances_are_counted_at_each_scrape() -> None:
    instances = [instance("a", phase=Phase.RUNNING), instance("b", phase=Phase.RUNNING)]
    metrics = OperatorMetrics()
    metrics.watch_instances(instances)
    assert samples(metrics)["hopper_instances", frozenset({"Running", "Project"})] == 2
    instances[:] = [instance("a", Scope.EVENT, phase=Phase.STOPPED)]
    values = samples(metrics)
    assert values["hopper_instances", frozenset({"Stopped", "Event"})] == 1
    assert ("hopper_instances", frozenset({"Running", "Project"})) not in values


def test_queue_and_leadership_are_read_at_each_scrape() -> None:
    depth, age, leads = [3], [1.5], [False]
    metrics = OperatorMetrics()
    metrics.watch_queue(lambda: depth[0], lambda: age[0])
    metrics.watch_leadership(lambda: leads[0])
    depth[0], age[0], leads[0] = 4, 2.5, True
    values = samples(metrics)
    nothing: frozenset[str] = frozenset()
    assert values["hopper_queue_depth", nothing] == 4
    assert values["hopper_queue_age_seconds", nothing] == 2.5
    assert values["hopper_leader", nothing] == 1


def test_two_operators_in_one_process_do_not_share_numbers() -> None:
    one, two = OperatorMetrics(), OperatorMetrics()
    one.transitions.labels("Created", "Starting", "DesiredState").inc()
    labels = frozenset({"Created", "Starting", "DesiredState"})
    assert samples(one)["hopper_transitions_total", labels] == 1
    assert ("hopper_transitions_total", labels) not in samples(two)
