"""Response bodies of the registry: search results, health and topology."""

from collections import Counter
from datetime import datetime

from pydantic import TypeAdapter

from hopper.api.enums import Health
from hopper.api.instance import HopperInstance
from hopper.domain.health import HealthVerdict
from hopper.gateway.discovery import Catalogue, Criteria, HealthRollUp
from hopper.gateway.models.enums import SCOPES, STATES, STATUSES, TYPES
from hopper.gateway.models.registry import (
    Complaint,
    InstanceMetrics,
    RegistryEntry,
    RegistryHealth,
    StatusView,
    Topology,
    TopologyNode,
)
from hopper.gateway.views.caches import RenderCache, render_in_slices
from hopper.registry.facets import capabilities_of

_ENTRY = TypeAdapter(RegistryEntry)
_HEALTH = TypeAdapter(RegistryHealth)
_COMPLAINT = TypeAdapter(Complaint)
_METRICS = TypeAdapter(InstanceMetrics)
_TOPOLOGY = TypeAdapter(Topology)
_NODE = TypeAdapter(TopologyNode)

_IN_TROUBLE = sorted((health for health in Health if health.is_trouble), key=lambda health: -health.severity)

# Version of an entry: the object's resource version, and its health.
_EntryVersion = tuple[str, HealthVerdict, HealthRollUp]


class RegistryEntryRenderer:
    """Cached JSON of the `RegistryEntry` of each instance."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._cache: RenderCache[_EntryVersion] = RenderCache(catalogue.instances.__len__)

    def entry(self, instance: HopperInstance) -> bytes:
        """Return the JSON of a `RegistryEntry`."""
        health = self._catalogue.health
        verdict, worst = health.of(instance), health.rolled_up(instance)
        version = instance.metadata.resource_version, verdict, worst
        return self._cache.get(
            instance.metadata.uid, version, lambda: _ENTRY.dump_json(_view_entry(instance, verdict, worst))
        )

    async def matches(self, namespace: str, criteria: Criteria) -> bytes:
        """Return the JSON of a `RegistryList` with the instances that meet the criteria."""
        revision, instances = self._catalogue.revision, self._catalogue.find(namespace, criteria)
        items = b",".join(await render_in_slices(instances, self.entry))
        return b'{"items":[%b],"total":%d,"revision":"%b"}' % (items, len(instances), revision.encode())


def _view_entry(instance: HopperInstance, verdict: HealthVerdict, worst: HealthRollUp) -> RegistryEntry:
    return RegistryEntry(
        instance.name,
        instance.metadata.uid,
        instance.namespace,
        instance.spec.display_name or instance.name,
        SCOPES[instance.spec.scope],
        STATUSES[instance.status.phase],
        TYPES[instance.spec.effective_type],
        instance.parent_name,
        list(capabilities_of(instance)),
        instance.metadata.labels or {},
        instance.status.is_ready,
        verdict.health.value,
        verdict.reason,
        verdict.message,
        worst.health.value,
        worst.source,
    )


def view_status(instance: HopperInstance, catalogue: Catalogue, now: datetime) -> StatusView:
    """Return the status of an instance with the metrics from its last heartbeat."""
    verdict, worst = catalogue.health.of(instance), catalogue.health.rolled_up(instance)
    metrics, status = catalogue.health.metrics(instance, now), instance.status
    vitals = metrics.vitals
    return StatusView(
        instance_id=instance.name,
        status=STATUSES[status.phase],
        effective_state=STATES[status.effective_state] if status.effective_state else None,
        ready=status.is_ready,
        health=verdict.health.value,
        reason=verdict.reason,
        message=verdict.message,
        worst_health=worst.health.value,
        worst_id=worst.source,
        uptime=metrics.uptime_seconds,
        active_tasks=vitals.active_tasks,
        queue_size=vitals.queue_depth,
        response_time_ms=vitals.response_time_ms,
        error_rate=vitals.error_rate,
        last_heartbeat=metrics.last_heartbeat,
        restarts=status.restarts,
    )


async def render_health(namespace: str, catalogue: Catalogue, now: datetime) -> bytes:
    """Return the JSON of a `RegistryHealth` for a namespace."""
    index, health = catalogue.instances.namespace(namespace), catalogue.health
    instances = index.in_order()
    by_status = Counter(STATUSES[instance.status.phase] for instance in instances)
    by_health = {value: len(health.names(namespace, value)) for value in Health}
    present = [value for value in Health if by_health[value]]
    troubled = [
        instance
        for value in _IN_TROUBLE
        for name in sorted(health.names(namespace, value))
        if (instance := index.get(name))
    ]
    summary = RegistryHealth(
        health=max(present, key=lambda value: value.severity, default=Health.INACTIVE).value,
        total=len(instances),
        by_status=dict(sorted(by_status.items())),
        by_health={value.value: by_health[value] for value in present},
        unhealthy=[],
        instances=[],
        revision=catalogue.revision,
    )

    def render_complaint(instance: HopperInstance) -> bytes:
        verdict = health.of(instance)
        return _COMPLAINT.dump_json(Complaint(instance.name, verdict.health.value, verdict.reason, verdict.message))

    def render_metrics(instance: HopperInstance) -> bytes:
        return _METRICS.dump_json(_view_metrics(instance, catalogue, now))

    unhealthy = b'"unhealthy":[%b]' % b",".join(await render_in_slices(troubled, render_complaint))
    metrics = b'"instances":[%b]' % b",".join(await render_in_slices(instances, render_metrics))
    text = _HEALTH.dump_json(summary)
    return text.replace(b'"unhealthy":[],"instances":[]', unhealthy + b"," + metrics, 1)


def _view_metrics(instance: HopperInstance, catalogue: Catalogue, now: datetime) -> InstanceMetrics:
    metrics = catalogue.health.metrics(instance, now)
    vitals = metrics.vitals
    return InstanceMetrics(
        instance.name,
        STATUSES[instance.status.phase],
        catalogue.health.of(instance).health.value,
        vitals.active_tasks,
        vitals.queue_depth,
        vitals.response_time_ms,
        vitals.error_rate,
        metrics.uptime_seconds,
        metrics.last_heartbeat,
    )


async def render_topology(namespace: str, catalogue: Catalogue) -> bytes:
    """Return the JSON of a `Topology` for a namespace."""
    index, revision = catalogue.instances.namespace(namespace), catalogue.revision
    instances = index.in_order()
    children, roots, orphans = list[HopperInstance](), list[str](), list[str]()
    for instance in instances:
        if instance.parent_name is None:
            roots.append(instance.name)
        elif index.get(instance.parent_name) is None:
            orphans.append(instance.name)
        else:
            children.append(instance)

    def render_node(instance: HopperInstance) -> bytes:
        scope, status = SCOPES[instance.spec.scope], STATUSES[instance.status.phase]
        display_name, health = instance.spec.display_name or instance.name, catalogue.health.of(instance).health.value
        return _NODE.dump_json(TopologyNode(instance.name, display_name, scope, status, health))

    def render_edge(child: HopperInstance) -> bytes:
        return b'{"parent":"%b","child":"%b"}' % (str(child.parent_name).encode(), child.name.encode())

    nodes = b'"nodes":[%b]' % b",".join(await render_in_slices(instances, render_node))
    edges = b'"edges":[%b]' % b",".join(await render_in_slices(children, render_edge))
    text = _TOPOLOGY.dump_json(Topology([], [], roots, orphans, revision))
    return text.replace(b'"nodes":[],"edges":[]', nodes + b"," + edges, 1)
