"""Gathering: the summary of children, and the workload of an instance."""

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


def children_of(subject: HopperInstance, *others: HopperInstance) -> ChildSummary:
    tree = NamespaceIndex()
    for member in (subject, *others):
        tree.put(member)
    runtimes = RuntimeGatherer(TemplateIndex(), OwnedObjectIndex(), "hopper")
    return gather(subject, tree, runtimes, NOW).children


PARENT = instance("web")
CHILD = instance("worker", Scope.ORCHESTRATION, parent=PARENT, phase=Phase.RUNNING)


def test_an_accepted_child_is_counted() -> None:
    assert children_of(PARENT, CHILD) == ChildSummary(total=1, active=("worker",), expected=True)


def test_a_child_that_moves_away_is_counted_until_its_owner_reference_changes() -> None:
    moving = replace(CHILD, spec=instance("worker", Scope.ORCHESTRATION, parent="mail").spec)
    assert children_of(PARENT, moving) == ChildSummary(total=1, active=("worker",))


def test_a_child_whose_deletion_is_blocked_blocks_the_deletion_of_its_parent() -> None:
    for protected in (False, True):  # protection has no effect on a deletion that has begun
        child = child_with(Reason.DELETION_BLOCKED, deleted=True, deletion_protection=protected)
        assert (children_of(PARENT, child).protected, children_of(PARENT, child).blocked) == ((), ("worker",))
    assert children_of(PARENT, child_with(Reason.DELETION_BLOCKED)).blocked == ()


def test_a_child_that_the_api_server_keeps_blocks_the_deletion_of_its_parent() -> None:
    assert children_of(PARENT, child_with(Reason.WRITE_REFUSED)).blocked == ("worker",)
    protected = children_of(PARENT, child_with(Reason.WRITE_REFUSED, deletion_protection=True))
    assert (protected.protected, protected.blocked) == (("worker",), ())


def test_a_child_that_a_foreign_finalizer_holds_is_named_with_the_finalizer() -> None:
    ours = (FINALIZER, "foregroundDeletion")
    assert children_of(PARENT, child_with(None, deleted=True, finalizers=ours)).held == ()
    assert children_of(PARENT, child_with(None, finalizers=("example.com/hold",))).held == ()
    child = child_with(None, deleted=True, finalizers=(*ours, "example.com/hold", "example.com/more"))
    assert children_of(PARENT, child).held == ("worker (finalizer example.com/hold, example.com/more)",)


def child_with(stalled: Reason | None, **fields: Any) -> HopperInstance:
    """Return a child with this reason of its Stalled condition."""
    conditions = (condition(ConditionType.STALLED, "True", stalled),) if stalled else ()
    status = {"conditions": conditions}
    return instance("worker", Scope.ORCHESTRATION, parent=PARENT, phase=Phase.RUNNING, status=status, **fields)


def test_a_logical_instance_with_claims_of_an_earlier_template_has_no_workload_to_wait_for() -> None:
    runtimes = RuntimeGatherer(TemplateIndex(), index_with_a_claim(), "hopper")
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
    assert phases(decided) == "Error Starting Running", "heartbeats have returned"
    assert decided.status
    assert decided.status.template_generation is None


def index_with_a_claim() -> OwnedObjectIndex:
    """Return an index with a claim of the parent."""
    children = OwnedObjectIndex()
    owner = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "name": PARENT.name, "uid": PARENT.metadata.uid}
    left = {"name": "hopper-web-data", "namespace": PARENT.namespace, "uid": "claim", "ownerReferences": [owner]}
    left["labels"] = {LABEL_INSTANCE: PARENT.name}
    children.put("PersistentVolumeClaim", {"kind": "PersistentVolumeClaim", "metadata": left})
    return children


def test_a_stop_and_a_rename_do_not_wait_for_ended_pods() -> None:
    """Evicted pods remain as records, which nothing deletes. A pod that is being deleted is gone soon."""
    children, tree = OwnedObjectIndex(), NamespaceIndex()
    owner = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "name": "web", "uid": PARENT.metadata.uid}
    metadata = {"namespace": PARENT.namespace, "labels": {LABEL_INSTANCE: "web"}}
    config = metadata | {"name": "hopper-web", "uid": "config", "ownerReferences": [owner], "resourceVersion": "1"}
    children.put("ConfigMap", {"kind": "ConfigMap", "metadata": config})
    tree.put(PARENT)
    successor = instance("site", phase=Phase.CREATED, renamed_from=RenamedFrom(name="web"))
    runtimes = RuntimeGatherer(TemplateIndex(), children, "hopper")
    found = []
    going = {"deletionTimestamp": "2026-03-01T12:00:00Z"}
    for version, (phase, more) in enumerate((("Running", {}), ("Failed", {}), ("Failed", going)), start=2):
        pod = metadata | more | {"name": "hopper-web-1", "uid": "pod", "resourceVersion": str(version)}
        children.put("Pod", {"kind": "Pod", "metadata": pod, "status": {"phase": phase}})
        takeover = runtimes.takeover(successor, tree)
        assert takeover
        found.append((gather(PARENT, tree, runtimes, NOW).workload.gone, takeover.pods))
    assert found == [(False, True), (True, False), (False, True)]
