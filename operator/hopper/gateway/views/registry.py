"""What the registry knows, as it is answered."""

from collections import Counter
from datetime import datetime

from pydantic import TypeAdapter

from hopper.api.enums import Health
from hopper.api.instance import HopperInstance
from hopper.domain.health import HealthVerdict
from hopper.gateway.discovery import Catalogue, Criteria
from hopper.gateway.discovery.health import HealthRollUp
from hopper.gateway.models.registry import (
    Complaint,
    InstanceMetrics,
    RegistryEntry,
    RegistryHealth,
    StatusView,
    Topology,
    TopologyNode,
)
from hopper.gateway.models.words import SCOPES, STATES, STATUSES, TYPES
from hopper.gateway.views.texts import Texts
from hopper.gateway.views.whole import in_slices
from hopper.registry.facets import capabilities_of

_ENTRY = TypeAdapter(RegistryEntry)
_HEALTH = TypeAdapter(RegistryHealth)
_COMPLAINT = TypeAdapter(Complaint)
_METRICS = TypeAdapter(InstanceMetrics)
_TOPOLOGY = TypeAdapter(Topology)
_NODE = TypeAdapter(TopologyNode)

_IN_TROUBLE = sorted((it for it in Health if it.is_trouble), key=lambda it: -it.severity)


Key = tuple[str, HealthVerdict, HealthRollUp]  # what an entry is made of: a version of the object, and how it is


class Entries:
    """The JSON of a `RegistryEntry` of each instance."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._healths = catalogue.healths
        self._texts: Texts[Key] = Texts(catalogue.instances.__len__)

    def of(self, it: HopperInstance) -> bytes:
        """Return an instance with its health."""
        verdict, worst = self._healths.of(it), self._healths.rolled_up(it)
        key = it.metadata.resource_version, verdict, worst
        return self._texts.get(it.metadata.uid, key, lambda: _ENTRY.dump_json(_view_entry(it, verdict, worst)))


def _view_entry(it: HopperInstance, verdict: HealthVerdict, worst: HealthRollUp) -> RegistryEntry:
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


async def list_entries(namespace: str, criteria: Criteria, catalogue: Catalogue, entries: Entries) -> bytes:
    """Return the JSON of a `RegistryList`: those that match."""
    revision, found = revision_of(catalogue), catalogue.find(namespace, criteria)
    items = b",".join(await in_slices(found, entries.of))
    return b'{"items":[%b],"total":%d,"revision":"%b"}' % (items, len(found), revision.encode())


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


async def tell_health(namespace: str, catalogue: Catalogue, now: datetime) -> bytes:
    """Return the JSON of a `RegistryHealth`: how everything in a namespace is."""
    index, healths = catalogue.instances.namespace(namespace), catalogue.healths
    revision, everybody = revision_of(catalogue), index.in_order()
    by_status = Counter(STATUSES[it.status.phase] for it in everybody)
    by_health = {it.value: len(healths.names(namespace, it)) for it in Health}
    troubled = [
        it for health in _IN_TROUBLE for name in sorted(healths.names(namespace, health)) if (it := index.get(name))
    ]
    worst = max((it for it in Health if by_health[it.value]), key=lambda it: it.severity, default=Health.INACTIVE)
    head = RegistryHealth(
        health=worst.value,
        total=len(everybody),
        by_status=dict(sorted(by_status.items())),
        by_health={health: count for health, count in by_health.items() if count},
        unhealthy=[],
        instances=[],
        revision=revision,
    )

    def complain(it: HopperInstance) -> bytes:
        verdict = healths.of(it)
        return _COMPLAINT.dump_json(Complaint(it.name, verdict.health.value, verdict.reason, verdict.message))

    def measure(it: HopperInstance) -> bytes:
        return _METRICS.dump_json(_metrics(it, catalogue, now))

    unhealthy = b'"unhealthy":[%b]' % b",".join(await in_slices(troubled, complain))
    instances = b'"instances":[%b]' % b",".join(await in_slices(everybody, measure))
    text = _HEALTH.dump_json(head)
    return text.replace(b'"unhealthy":[],"instances":[]', unhealthy + b"," + instances, 1)


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


async def draw_topology(namespace: str, catalogue: Catalogue) -> bytes:
    """Return the JSON of a `Topology`: the instances of a namespace as a graph."""
    index, revision = catalogue.instances.namespace(namespace), revision_of(catalogue)
    everybody = index.in_order()
    children, roots, orphans = list[HopperInstance](), list[str](), list[str]()
    for it in everybody:
        if it.parent_name is None:
            roots.append(it.name)
        elif index.get(it.parent_name) is None:
            orphans.append(it.name)
        else:
            children.append(it)

    def draw(it: HopperInstance) -> bytes:
        health, label = catalogue.healths.of(it).health.value, it.spec.display_name or it.name
        return _NODE.dump_json(TopologyNode(it.name, label, SCOPES[it.spec.scope], STATUSES[it.status.phase], health))

    def connect(it: HopperInstance) -> bytes:
        return b'{"parent":"%b","child":"%b"}' % (str(it.parent_name).encode(), it.name.encode())

    nodes = b'"nodes":[%b]' % b",".join(await in_slices(everybody, draw))
    edges = b'"edges":[%b]' % b",".join(await in_slices(children, connect))
    rest = _TOPOLOGY.dump_json(Topology([], [], roots, orphans, revision))
    return rest.replace(b'"nodes":[],"edges":[]', nodes + b"," + edges, 1)


def revision_of(catalogue: Catalogue) -> str:
    """Return where the events go on from here."""
    return catalogue.journal.token(catalogue.journal.revision)
