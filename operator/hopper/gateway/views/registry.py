"""What the registry knows, as it is answered."""

from collections import Counter
from datetime import datetime

from hopper.api.enums import Health
from hopper.api.instance import HopperInstance
from hopper.gateway.models.registry import (
    Complaint,
    InstanceMetrics,
    RegistryEntry,
    RegistryHealth,
    StatusView,
    Topology,
    TopologyEdge,
    TopologyNode,
)
from hopper.gateway.models.words import SCOPES, STATES, STATUSES, TYPES
from hopper.registry import Catalogue
from hopper.registry.criteria import capabilities_of

_IN_TROUBLE = sorted((it for it in Health if it.is_trouble), key=lambda it: -it.severity)


def view_entry(it: HopperInstance, catalogue: Catalogue) -> RegistryEntry:
    """Return an instance with its health."""
    verdict, worst = catalogue.healths.of(it), catalogue.healths.rolled_up(it)
    return RegistryEntry(
        it.name,
        it.metadata.uid,
        it.namespace,
        it.spec.display_name or it.name,
        SCOPES[it.spec.scope],
        STATUSES[it.status.phase],
        TYPES[it.spec.effective_type],
        it.parent_name,
        list(capabilities_of(it)),
        it.metadata.labels or {},
        it.status.is_ready,
        verdict.health.value,
        verdict.reason,
        verdict.message,
        worst.health.value,
        worst.because,
    )


def view_status(it: HopperInstance, catalogue: Catalogue, now: datetime) -> StatusView:
    """Return the status of an instance, with what its last heartbeat told."""
    verdict, worst = catalogue.healths.of(it), catalogue.healths.rolled_up(it)
    metrics, status = catalogue.healths.metrics(it, now), it.status
    vitals = metrics.vitals
    return StatusView(
        instance_id=it.name,
        status=STATUSES[status.phase],
        effective_state=STATES[status.effective_state] if status.effective_state else None,
        ready=status.is_ready,
        health=verdict.health.value,
        reason=verdict.reason,
        message=verdict.message,
        worst_health=worst.health.value,
        worst_id=worst.because,
        uptime=metrics.uptime_seconds,
        active_tasks=vitals.active_tasks,
        queue_size=vitals.queue_depth,
        response_time_ms=vitals.response_time_ms,
        error_rate=vitals.error_rate,
        last_heartbeat=metrics.last_beat,
        restarts=status.restarts,
    )


def view_health(namespace: str, catalogue: Catalogue, now: datetime) -> RegistryHealth:
    """Return how everything in a namespace is."""
    index, healths = catalogue.instances.namespace(namespace), catalogue.healths
    by_status = Counter(STATUSES[it.status.phase] for it in index)
    by_health = {it.value: len(healths.names(namespace, it)) for it in Health}
    complaints = []
    for health in _IN_TROUBLE:
        for name in sorted(healths.names(namespace, health)):
            if it := index.get(name):
                verdict = healths.of(it)
                complaints.append(Complaint(name, verdict.health.value, verdict.reason, verdict.message))
    worst = max((it for it in Health if by_health[it.value]), key=lambda it: it.severity, default=Health.INACTIVE)
    return RegistryHealth(
        health=worst.value,
        total=len(index),
        by_status=dict(sorted(by_status.items())),
        by_health={health: count for health, count in by_health.items() if count},
        unhealthy=complaints,
        instances=[_metrics(it, catalogue, now) for name in index.names if (it := index.get(name))],
        revision=revision_of(catalogue),
    )


def _metrics(it: HopperInstance, catalogue: Catalogue, now: datetime) -> InstanceMetrics:
    metrics = catalogue.healths.metrics(it, now)
    vitals = metrics.vitals
    return InstanceMetrics(
        it.name,
        STATUSES[it.status.phase],
        catalogue.healths.of(it).health.value,
        vitals.active_tasks,
        vitals.queue_depth,
        vitals.response_time_ms,
        vitals.error_rate,
        metrics.uptime_seconds,
        metrics.last_beat,
    )


def view_topology(namespace: str, catalogue: Catalogue) -> Topology:
    """Return the instances of a namespace as a graph."""
    index = catalogue.instances.namespace(namespace)
    found = Topology([], [], [], [], revision_of(catalogue))
    for name in index.names:
        it = index.get(name)
        if it is None:
            continue
        health, parent = catalogue.healths.of(it).health.value, it.parent_name
        label = it.spec.display_name or name
        found.nodes.append(TopologyNode(name, label, SCOPES[it.spec.scope], STATUSES[it.status.phase], health))
        if parent is None:
            found.roots.append(name)
        elif index.get(parent) is None:
            found.orphans.append(name)
        else:
            found.edges.append(TopologyEdge(parent, name))
    return found


def revision_of(catalogue: Catalogue) -> str:
    """Return where the events go on from here."""
    return catalogue.journal.token(catalogue.journal.revision)
