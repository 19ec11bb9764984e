"""Deletion of trees: order, propagation policies, protection, orphans and the time to live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hopper.api.names import FINALIZER
from hopper.api.resources import Manifest
from hopper.controller.operator import Operator
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, RefusedError, manifest
from tests.cluster.support.prometheus import PrometheusSamples

NAMES = ("global", "web", "party", "worker")


def tree(**worker: object) -> list[dict[str, object]]:
    return [
        manifest("global", "Global"),
        manifest("web", "Project", "global"),
        manifest("party", "Event", "web"),
        manifest("worker", "Orchestration", "party", **worker),
    ]


@pytest.fixture
async def four_levels(live: LiveInstances, operator: Operator) -> None:
    """Tree of four levels."""
    await live.create_from(*tree())
    await live.until_phase("Running", *NAMES)
    await until_finalizers(live, *NAMES[:-1])


@pytest.fixture
async def protected(live: LiveInstances, four_levels: None) -> str:
    """Name of the deepest instance, which is protected; the admission policy is in force."""
    await live.edit("worker", deletionProtection=True)
    await live.until(lambda: live.is_observed("worker"), "the operator has observed the edit")
    await until_deletion_is_rejected(live, "worker")
    return "worker"


async def until_deletion_is_rejected(live: LiveInstances, name: str) -> None:
    """Wait until the admission policy is in force; the API server learns about it through a watch."""
    is_rejected = False
    while not is_rejected:
        try:
            await live.request("DELETE", f"{live.path}/{name}?dryRun=All")
        except RefusedError:
            is_rejected = True


def finalizers(live: LiveInstances, name: str) -> list[str]:
    names: list[str] = live[name]["metadata"].get("finalizers", [])
    return names


async def until_finalizers(live: LiveInstances, *parents: str) -> None:
    """Wait until these parents have the finalizer."""
    holds = lambda: all(FINALIZER in finalizers(live, name) for name in parents)  # noqa: E731
    await live.until(holds, f"finalizers of {', '.join(parents)}")


def is_being_deleted(live: LiveInstances, name: str) -> bool:
    return name in live and "deletionTimestamp" in live[name]["metadata"]


@asynccontextmanager
async def withheld_events(operator: Operator, name: str) -> AsyncIterator[None]:
    """Withhold the watch events of one instance, so that its index entry is stale; deliver the events at the end."""
    feed = operator.intake.feeds[0]
    handle, withheld = feed.handle_event, list[tuple[str, Manifest]]()

    def withhold(kind: str, raw: Manifest) -> None:
        withheld.append((kind, raw)) if raw["metadata"]["name"] == name else handle(kind, raw)

    feed.handle_event = withhold  # type: ignore[method-assign]
    try:
        yield
    finally:
        feed.handle_event = handle  # type: ignore[method-assign]
        for event in withheld:
            handle(*event)


def conflicts(operator: Operator) -> float:
    """Return the number of reconciles that ended in a conflict, because the object had changed."""
    return PrometheusSamples(operator.metrics.render().decode()).total("hopper_reconciles_total", result="conflict")


@asynccontextmanager
async def policy_against_deletion(live: LiveInstances, name: str) -> AsyncIterator[None]:
    """Create an admission policy that rejects the deletion of one instance; delete the policy at the end."""
    policies, policy = "/apis/admissionregistration.k8s.io/v1", f"freeze-{live.namespace}"
    rule = {"apiGroups": ["hopper.dev"], "apiVersions": ["v1"], "resources": ["hopperinstances"]}
    freeze = {
        "matchConstraints": {"resourceRules": [rule | {"operations": ["DELETE"]}]},
        "matchConditions": [
            {"name": "this", "expression": f"request.namespace == '{live.namespace}' && request.name == '{name}'"}
        ],
        "validations": [{"expression": "false", "message": "change freeze until Monday"}],
    }
    binding = {"policyName": policy, "validationActions": ["Deny"]}
    objects = {"validatingadmissionpolicies": freeze, "validatingadmissionpolicybindings": binding}
    for plural, spec in objects.items():
        await live.request("POST", f"{policies}/{plural}", {"metadata": {"name": policy}, "spec": spec})
    try:
        await until_deletion_is_rejected(live, name)
        yield
    finally:
        for plural in objects:
            await live.request("DELETE", f"{policies}/{plural}/{policy}")


class TestDeletion:
    @pytest.mark.parametrize("propagation", ["Background", "Foreground"])
    async def test_of_a_root_proceeds_from_the_deepest_level_up(
        self, live: LiveInstances, four_levels: None, propagation: str
    ) -> None:
        await live.create("bystander")
        await live.until_phase("Running", "bystander")
        await live.delete("global", propagation)
        await live.until_gone(*NAMES)
        order = [live.index_of_deletion(name) for name in reversed(NAMES)]
        assert order == sorted(order)
        assert live.is_ready("bystander")

    async def test_of_a_subtree_keeps_the_other_instances(self, live: LiveInstances, four_levels: None) -> None:
        await live.create("other", "Event", "web")
        await live.until_phase("Running", "other")
        await live.delete("party")
        await live.until_gone("party", "worker")
        assert live.index_of_deletion("worker") < live.index_of_deletion("party")
        await live.until(lambda: live.status("web").get("children") == {"total": 1, "ready": 1}, "web counts one child")
        for name in ("global", "web", "other"):
            assert live.is_ready(name)
            assert not is_being_deleted(live, name)

    async def test_of_a_wide_tree_deletes_children_before_parents(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        projects, workers = range(5), range(10)
        await live.create_from(
            manifest("global", "Global"),
            *(manifest(f"p{n}", "Project", "global") for n in projects),
            *(manifest(f"p{n}-{m}", "Orchestration", f"p{n}") for n in projects for m in workers),
        )
        await live.until_phase("Running", "global", *(f"p{n}-{m}" for n in projects for m in workers))
        parents = ["global", *(f"p{n}" for n in projects)]
        await until_finalizers(live, *parents)
        await live.delete("global")
        await live.until_gone("global")
        assert not live.names
        last = live.index_of_deletion("global")
        for n in projects:
            assert live.index_of_deletion(f"p{n}") < last
            assert all(live.index_of_deletion(f"p{n}-{m}") < live.index_of_deletion(f"p{n}") for m in workers)

    async def test_is_completed_while_the_tree_is_still_starting(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(*tree())
        await live.until(
            lambda: all(map(live.owner_names, NAMES[1:])), "they belong together"
        )  # otherwise they would wait for a new parent
        await live.delete("global")
        await live.until_gone(*NAMES)

    async def test_of_a_leaf_needs_no_finalizer(self, live: LiveInstances, four_levels: None) -> None:
        assert finalizers(live, "worker") == []
        await live.delete("worker")
        await live.until_gone("worker")
        assert not any(
            has_deletion_timestamp(event.object) for event in live.instances.log if event.event_type == "MODIFIED"
        )

    async def test_is_completed_in_every_state(self, live: LiveInstances, operator: Operator) -> None:
        states = ["Running", "Paused", "Stopped", "Archived", "Terminated"]
        await live.create_from(
            *(manifest(state.lower(), desiredState=state) for state in states),
            *(manifest(f"{state}-child".lower(), "Event", state.lower()) for state in states),
            manifest("waiting", "Orchestration", "missing"),
        )
        for state in states:
            await live.until_phase(state, state.lower())
            await until_finalizers(live, state.lower())
            await live.delete(state.lower())
        await live.delete("waiting")
        await live.until(lambda: not live.names, "all instances are deleted")

    async def test_requested_while_the_operator_is_down_is_completed_later(self, live: LiveInstances) -> None:
        async with running_operator(live.namespace):
            await live.create_from(*tree())
            await live.until_phase("Running", *NAMES)
            await until_finalizers(live, *NAMES[:-1])
        await live.delete("global")
        await live.until(
            lambda: is_being_deleted(live, "global"), "global waits for the operator to remove its finalizer"
        )
        async with running_operator(live.namespace):
            await live.until_gone(*NAMES)

    async def test_of_a_parent_allows_a_new_tree_with_the_same_names(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        """The new parent has another uid, so the old children are not its own."""
        await live.create_from(manifest("a"), manifest("b", "Event", "a"))
        await live.until_phase("Running", "a", "b")
        old_uid = live["b"]["metadata"]["uid"]
        await live.delete("a")
        await live.until_gone("a", "b")
        await live.create_from(manifest("b", "Event", "a"), manifest("a"))
        await live.until_phase("Running", "a", "b")
        assert live["b"]["metadata"]["uid"] != old_uid

    async def test_of_a_parent_in_progress_holds_a_new_child_in_created(
        self, live: LiveInstances, protected: str
    ) -> None:
        await live.delete("party")
        await live.create("late", "Orchestration", "party")
        rejected = await live.until_reason("late", "HierarchyValid", "ParentIsBeingDeleted")
        assert "choose another spec.parentRef.name" in rejected["message"]
        assert live.phase("late") == "Created"
        await live.edit("late", parentRef={"name": "web"})
        await live.until_phase("Running", "late")
        assert "late" in live

    async def test_of_a_parent_keeps_a_child_that_moves_away(self, live: LiveInstances, protected: str) -> None:
        await live.delete("party")
        await live.until_reason("party", "Stalled", "DeletionBlocked")
        await live.edit(protected, parentRef={"name": "web"})
        await live.until_gone("party")
        await live.until(lambda: live.owner_names(protected) == ["web"], "the child has its new owner")
        assert live.phase(protected) == "Running"

    async def test_on_a_stale_index_keeps_a_child_that_has_moved_away(
        self, live: LiveInstances, operator: Operator, four_levels: None
    ) -> None:
        async with withheld_events(operator, "worker"):
            await live.edit("worker", parentRef={"name": "web"})
            await live.delete("party")
            await live.until(lambda: conflicts(operator), "a delete with a precondition that no longer holds")
        await live.until_gone("party")
        await live.until(lambda: live.owner_names("worker") == ["web"], "the child has its new owner")
        assert live.phase_history("worker") == ["Created", "Starting", "Running"]

    async def test_that_a_policy_rejects_is_shown_in_conditions(self, live: LiveInstances, four_levels: None) -> None:
        """The child shows the rejection, and the parents show the child. The child still follows its desired state."""
        async with policy_against_deletion(live, "worker"):
            await live.delete("web")
            rejected = await live.until_reason("worker", "Stalled", "WriteRefused")
            assert "deletion (ParentIsBeingDeleted)" in rejected["message"]
            assert "change freeze until Monday" in rejected["message"]
            assert not live.is_ready("worker")
            blocked = await live.until_reason("web", "Stalled", "DeletionBlocked")
            assert (
                blocked["message"]
                == "deletion waits for party, whose own deletion is blocked; see the Ready condition there"
            )
            await live.edit("worker", desiredState="Stopped")
            await live.until_phase("Stopped", "worker")
        await live.edit("worker", displayName="reconcile again")
        await live.until_gone("web", "party", "worker")

    async def test_that_waits_for_a_foreign_finalizer_names_it(
        self, live: LiveInstances, four_levels: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The message names the protection while there is one, and the finalizer after that."""
        monkeypatch.setattr("hopper.domain.planner.DETAILS_AFTER_SECONDS", 1.0)
        await live.patch("worker", {"metadata": {"finalizers": ["example.com/hold"]}})
        await live.edit("worker", deletionProtection=True)
        await until_deletion_is_rejected(live, "worker")
        await live.delete("party")
        await live.until_reason("party", "Stalled", "DeletionBlocked")
        await live.edit("worker", deletionProtection=False)
        await live.until(lambda: not live.condition("party", "Stalled"), "party is not blocked by protection any more")
        message = (
            "deletion waits for worker (finalizer example.com/hold): the controller of the finalizer must remove it"
        )
        await live.until(lambda: live.condition("party", "Ready").get("message") == message, message)
        await live.patch("worker", {"metadata": {"finalizers": None}})
        await live.until_gone("party", "worker")

    async def test_without_an_operator_is_left_to_the_garbage_collector(self, live: LiveInstances) -> None:
        """The garbage collector follows the ownerReferences."""
        async with running_operator(live.namespace):
            await live.create_from(*tree())
            await live.until_phase("Running", *NAMES)
            await until_finalizers(live, *NAMES[:-1])
        for name in NAMES:
            await live.patch(name, {"metadata": {"finalizers": None}})
        await live.delete("global")
        await live.until_gone(*NAMES)


class TestProtection:
    async def test_rejects_a_direct_deletion(self, live: LiveInstances, protected: str) -> None:
        with pytest.raises(RefusedError, match="deletionProtection of worker is true"):
            await live.delete(protected)

    async def test_of_a_child_blocks_the_deletion_of_its_ancestors(self, live: LiveInstances, protected: str) -> None:
        await live.delete("global")
        blocked = await live.until_reason("party", "Stalled", "DeletionBlocked")
        assert blocked["message"].startswith("deletion waits for worker: set spec.deletionProtection to false there")
        for name in NAMES[:-1]:
            assert is_being_deleted(live, name)
        assert not is_being_deleted(live, protected)
        assert live.phase(protected) == "Running"
        await live.edit(protected, deletionProtection=False)
        await live.until_gone(*NAMES)
        order = [live.index_of_deletion(name) for name in reversed(NAMES)]
        assert order == sorted(order)

    async def test_prevents_deletion_after_the_time_to_live(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", desiredState="Terminated", ttlSecondsAfterFinished=0, deletionProtection=True)
        await live.until_phase("Terminated", "a")
        await live.edit("a", deletionProtection=False)
        await live.until_gone("a")


class TestOrphan:
    @pytest.fixture
    async def orphan(self, live: LiveInstances, operator: Operator) -> str:
        """Name of a child whose parent was deleted with `--cascade=orphan`."""
        await live.create_from(manifest("a"), manifest("b", "Event", "a"), manifest("c", "Orchestration", "b"))
        await live.until_phase("Running", "a", "b", "c")
        await until_finalizers(live, "a")
        await live.delete("a", "Orphan")
        await live.until_gone("a")
        return "b"

    async def test_is_reported_and_keeps_running(self, live: LiveInstances, orphan: str) -> None:
        reported = await live.until_reason(orphan, "HierarchyValid", "Orphaned")
        assert reported["status"] == "False"
        assert 'parent "a" no longer exists; what runs keeps running' in reported["message"]
        assert live.owner_names(orphan) == []
        event = await live.until_event(orphan, "Orphaned")
        assert (event["type"], event["note"]) == ("Warning", reported["message"])
        for name in (orphan, "c"):
            assert live.is_ready(name)
            assert live.phase_history(name) == ["Created", "Starting", "Running"]

    async def test_is_adopted_by_a_new_parent_of_the_same_name(self, live: LiveInstances, orphan: str) -> None:
        await live.until_reason(orphan, "HierarchyValid", "Orphaned")
        await live.create("a")
        await live.until_reason(orphan, "HierarchyValid", "ParentAccepted")
        assert live.owner_names(orphan) == ["a"]
        assert live[orphan]["metadata"]["ownerReferences"][0]["uid"] == live["a"]["metadata"]["uid"]
        await live.until_phase("Running", "a", orphan, "c")
        assert live.phase_history(orphan) == ["Created", "Starting", "Running"]
        await live.edit("a", desiredState="Paused")
        await live.until_phase("Paused", orphan, "c")

    async def test_can_be_stopped_but_not_started_without_a_parent(self, live: LiveInstances, orphan: str) -> None:
        await live.edit(orphan, desiredState="Stopped")
        await live.until_phase("Stopped", orphan, "c")
        await live.edit(orphan, desiredState="Running")
        condition = await live.until_reason(orphan, "Ready", "Orphaned")
        assert "Create the parent, or change spec.parentRef.name" in condition["message"]
        await live.create("a")
        await live.until_phase("Running", orphan, "c")


class TestTimeToLive:
    async def test_on_a_stale_index_does_not_delete_a_restarted_instance(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create("a", desiredState="Stopped", ttlSecondsAfterFinished=10)
        await live.until_phase("Stopped", "a")
        async with withheld_events(operator, "a"):
            await live.edit("a", desiredState="Running")
            await live.until(lambda: conflicts(operator), "a delete with a precondition that no longer holds")
        await live.until_phase("Running", "a")
        assert live.phase_history("a") == ["Created", "Stopped", "Starting", "Running"]

    async def test_starts_when_the_instance_itself_is_stopped(self, live: LiveInstances, operator: Operator) -> None:
        """The time for which an ancestor has kept the instance stopped does not count."""
        await live.create_from(manifest("a", desiredState="Stopped"), manifest("b", "Event", "a"))
        await live.until_phase("Stopped", "a", "b")
        stopped = live.status("b")["stoppedAt"]
        await live.edit("b", ttlSecondsAfterFinished=3600, desiredState="Stopped")
        await live.until(lambda: live.condition("b", "Ready")["reason"] == "Stopped", "b is stopped by its own spec")
        assert live.status("b")["stoppedAt"] >= stopped
        assert live.phase_history("b") == ["Created", "Stopped"]

    async def test_applies_to_stopped_and_terminated_instances_only(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        states = ["Running", "Paused", "Stopped", "Archived", "Terminated"]
        await live.create_from(
            *(manifest(state.lower(), "Event", desiredState=state, ttlSecondsAfterFinished=1) for state in states)
        )
        await live.until_gone("stopped", "terminated")
        assert "time to live is over" in (await live.until_event("stopped", "TTLExpired"))["note"]
        await live.until_phase("Archived", "archived")
        assert live.names == {"running", "paused", "archived"}
        await live.edit("running", desiredState="Stopped")
        await live.edit("archived", desiredState="Terminated")
        await live.until_gone("running", "archived")

    async def test_does_not_apply_to_an_instance_that_only_its_parent_stops(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(
            manifest("a"),
            manifest("b", "Event", "a", ttlSecondsAfterFinished=0),
            manifest("c", "Event", "a", ttlSecondsAfterFinished=0),
        )
        await live.until_phase("Running")
        await live.edit("c", desiredState="Stopped")
        await live.edit("a", desiredState="Stopped")
        await live.until_gone("c")
        await live.until_phase("Stopped", "a", "b")
        await live.edit("a", desiredState="Running")
        await live.until_phase("Running", "b")

    async def test_of_a_parent_deletes_its_terminated_children_too(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(
            manifest("a"),
            manifest("b", "Event", "a"),
            manifest("c", "Orchestration", "b", ttlSecondsAfterFinished=0),
        )
        await live.until_phase("Running")
        await live.edit("a", desiredState="Terminated", ttlSecondsAfterFinished=2)
        await live.until_gone("c")
        await live.until_phase("Terminated", "a", "b")
        await live.until_gone("a", "b")
        order = [live.index_of_deletion(name) for name in "cba"]
        assert order == sorted(order)

    async def test_can_be_set_on_a_stopped_instance(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        await live.edit("a", ttlSecondsAfterFinished=3600)
        await live.until(lambda: live.is_observed("a"), "the operator has observed the edit")
        assert "a" in live
        await live.edit("a", ttlSecondsAfterFinished=0)
        await live.until_gone("a")

    async def test_survives_an_operator_restart(self, live: LiveInstances) -> None:
        async with running_operator(live.namespace):
            await live.create("a", desiredState="Stopped", ttlSecondsAfterFinished=2)
            await live.until_phase("Stopped", "a")
        async with running_operator(live.namespace):
            await live.until_gone("a")


def has_deletion_timestamp(version: Manifest) -> bool:
    return "deletionTimestamp" in version["metadata"]
