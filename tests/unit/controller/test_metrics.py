"""The metrics: their names are a contract."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from hopper.api.enums import Phase, Scope
from hopper.controller.metrics import OperatorMetrics
from tests.unit.domain.sample_instances import instance


def samples(metrics: OperatorMetrics) -> dict[tuple[str, frozenset[str]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {(it.name, frozenset(it.labels.values())): it.value for family in families for it in family.samples}


def test_the_names_and_labels() -> None:
    metrics = OperatorMetrics()
    metrics.watch_instances([])
    metrics.watch_queue(lambda: 0, lambda: 0)
    metrics.watch_leadership(lambda: True)
    families = {it.name: it.type for it in text_string_to_metric_families(metrics.render().decode())}
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


def test_results_are_there_before_the_first_error() -> None:
    found = samples(OperatorMetrics())
    assert {it: found["hopper_reconciles_total", frozenset({it})] for it in ("ok", "conflict", "error")} == {
        "ok": 0,
        "conflict": 0,
        "error": 0,
    }


def test_instances_are_counted_when_somebody_asks() -> None:
    instances = [instance("a", phase=Phase.RUNNING), instance("b", phase=Phase.RUNNING)]
    metrics = OperatorMetrics()
    metrics.watch_instances(instances)
    assert samples(metrics)["hopper_instances", frozenset({"Running", "Project"})] == 2
    instances[:] = [instance("a", Scope.EVENT, phase=Phase.STOPPED)]
    found = samples(metrics)
    assert found["hopper_instances", frozenset({"Stopped", "Event"})] == 1
    assert ("hopper_instances", frozenset({"Running", "Project"})) not in found


def test_queue_and_leadership_are_read_when_somebody_asks() -> None:
    depth, age, leads = [3], [1.5], [False]
    metrics = OperatorMetrics()
    metrics.watch_queue(lambda: depth[0], lambda: age[0])
    metrics.watch_leadership(lambda: leads[0])
    depth[0], age[0], leads[0] = 4, 2.5, True
    found = samples(metrics)
    nothing: frozenset[str] = frozenset()
    assert found["hopper_queue_depth", nothing] == 4
    assert found["hopper_queue_age_seconds", nothing] == 2.5
    assert found["hopper_leader", nothing] == 1


def test_two_operators_in_one_process_do_not_share_numbers() -> None:
    one, two = OperatorMetrics(), OperatorMetrics()
    one.transitions.labels("Created", "Starting", "DesiredState").inc()
    labels = frozenset({"Created", "Starting", "DesiredState"})
    assert samples(one)["hopper_transitions_total", labels] == 1
    assert ("hopper_transitions_total", labels) not in samples(two)
