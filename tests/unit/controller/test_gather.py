"""What a parent sees of its children."""

from dataclasses import replace
from typing import Any

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Phase, RestartMode, Scope
from hopper.api.instance import Heartbeat, HopperInstance, RenamedFrom
from hopper.api.names import FINALIZER, LABEL_INSTANCE
from hopper.controller.gather import gather
from hopper.controller.runtime import RuntimeGatherer
from hopper.domain.heartbeat import HeartbeatRecord
from hopper.domain.observed import ChildSummary
from hopper.domain.planner import plan
from hopper.registry import NamespaceIndex, OwnedObjectIndex, TemplateIndex
from tests.unit.domain.sample_instances import NOW, condition, instance, phases, policy, seconds, transition_entry


def seen(subject: HopperInstance, *others: HopperInstance) -> ChildSummary:
    tree = NamespaceIndex()
    for one in (subject, *others):
        tree.put(one)
    runtimes = RuntimeGatherer(TemplateIndex(), OwnedObjectIndex(), "hopper")
    return gather(subject, tree, runtimes, NOW).children


PARENT = instance("web")
CHILD = instance("worker", Scope.ORCHESTRATION, parent=PARENT, phase=Phase.RUNNING)


def test_an_accepted_child_counts() -> None:
    assert seen(PARENT, CHILD) == ChildSummary(total=1, active=("worker",), expected=True)


def test_a_child_that_moves_away_counts_until_its_reference_is_swapped() -> None:
    moving = replace(CHILD, spec=instance("worker", Scope.ORCHESTRATION, parent="mail").spec)
    assert seen(PARENT, moving) == ChildSummary(total=1, active=("worker",))


def test_a_child_whose_deletion_is_blocked_blocks_the_next_above() -> None:
    for protected in (False, True):  # which stops nothing any more
        child = told(Reason.DELETION_BLOCKED, deleted=True, deletion_protection=protected)
        assert (seen(PARENT, child).protected, seen(PARENT, child).blocked) == ((), ("worker",))
    assert seen(PARENT, told(Reason.DELETION_BLOCKED)).blocked == ()


def test_a_child_that_must_not_be_deleted_blocks_the_next_above() -> None:
    assert seen(PARENT, told(Reason.WRITE_REFUSED)).blocked == ("worker",)
    protected = seen(PARENT, told(Reason.WRITE_REFUSED, deletion_protection=True))
    assert (protected.protected, protected.blocked) == (("worker",), ())


def test_a_child_that_a_finalizer_holds_is_named_with_it() -> None:
    ours = (FINALIZER, "foregroundDeletion")
    assert seen(PARENT, told(None, deleted=True, finalizers=ours)).held == ()
    assert seen(PARENT, told(None, finalizers=("example.com/hold",))).held == ()
    held = seen(PARENT, told(None, deleted=True, finalizers=(*ours, "example.com/hold", "example.com/more"))).held
    assert held == ("worker (finalizer example.com/hold, example.com/more)",)


def told(stalled: Reason | None, **fields: Any) -> HopperInstance:
    """Return a child that says why it is stalled."""
    conditions = (condition(ConditionType.STALLED, "True", stalled),) if stalled else ()
    status = {"conditions": conditions}
    return instance("worker", Scope.ORCHESTRATION, parent=PARENT, phase=Phase.RUNNING, status=status, **fields)


def test_a_logical_instance_waits_for_no_workload_where_volumes_are_left_from_before() -> None:
    runtimes = RuntimeGatherer(TemplateIndex(), with_volume_left(), "hopper")
    tree = NamespaceIndex()
    tree.put(PARENT)
    observed = gather(PARENT, tree, runtimes, NOW)
    assert observed.runtime
    assert observed.runtime.owned
    assert (observed.workload.available, observed.workload.gone) == (True, True)
    silent = transition_entry(Phase.RUNNING, Phase.ERROR, reason=Reason.HEARTBEAT_LOST)
    status = {"history": (silent,), "template_generation": 2}
    spec = {"heartbeat": Heartbeat(timeout_seconds=10), "restart_policy": policy(RestartMode.NEVER)}
    subject = instance("web", phase=Phase.ERROR, status=status, **spec)
    decided = plan(gather(subject, tree, runtimes, NOW, heartbeats=HeartbeatRecord(NOW, NOW - seconds(3600), NOW)))
    assert phases(decided) == "Error Starting Running", "its heart beats again"
    assert decided.status
    assert decided.status.template_generation is None


def with_volume_left() -> OwnedObjectIndex:
    """Return what is left of a workload: a claim."""
    children = OwnedObjectIndex()
    owner = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "name": PARENT.name, "uid": PARENT.metadata.uid}
    left = {"name": "hopper-web-data", "namespace": PARENT.namespace, "uid": "claim", "ownerReferences": [owner]}
    left["labels"] = {LABEL_INSTANCE: PARENT.name}
    children.put("PersistentVolumeClaim", {"kind": "PersistentVolumeClaim", "metadata": left})
    return children


def test_a_pod_that_has_ended_is_not_waited_for() -> None:
    """Who evicts pods leaves their records: a stop, or a rename, that waited for those would wait for ever."""
    children, tree = OwnedObjectIndex(), NamespaceIndex()
    owner = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "name": "web", "uid": PARENT.metadata.uid}
    metadata = {"namespace": PARENT.namespace, "labels": {LABEL_INSTANCE: "web"}}
    config = metadata | {"name": "hopper-web", "uid": "config", "ownerReferences": [owner], "resourceVersion": "1"}
    children.put("ConfigMap", {"kind": "ConfigMap", "metadata": config})
    tree.put(PARENT)
    newcomer = instance("site", phase=Phase.CREATED, renamed_from=RenamedFrom(name="web"))
    runtimes = RuntimeGatherer(TemplateIndex(), children, "hopper")
    found = []
    going = {"deletionTimestamp": "2026-03-01T12:00:00Z"}
    for version, (phase, more) in enumerate((("Running", {}), ("Failed", {}), ("Failed", going)), start=2):
        pod = metadata | more | {"name": "hopper-web-1", "uid": "pod", "resourceVersion": str(version)}
        children.put("Pod", {"kind": "Pod", "metadata": pod, "status": {"phase": phase}})
        takeover = runtimes.takeover(newcomer, tree)
        assert takeover
        found.append((gather(PARENT, tree, runtimes, NOW).workload.gone, takeover.pods))
    assert found == [(False, True), (True, False), (False, True)], "what is being deleted goes soon"
