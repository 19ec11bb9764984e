"""Deletion: in order, with every propagation policy, held up by protection, left to orphans, and by time."""

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
async def family(live: LiveInstances, operator: Operator) -> None:
    """Four generations."""
    await live.create_from(*tree())
    await live.until_phase("Running", *NAMES)
    await live.until(lambda: all(FINALIZER in finalizers(live, name) for name in NAMES[:-1]), "parents are guarded")


@pytest.fixture
async def protected(live: LiveInstances, family: None) -> str:
    """The name of the deepest one, which is protected."""
    await live.edit("worker", deletionProtection=True)
    await live.until(lambda: live.is_observed("worker"), "the operator knows")
    await until_in_force(live, "worker")
    return "worker"


async def until_in_force(live: LiveInstances, name: str) -> None:
    """Wait until the admission policy, which the API server learns of a little later, refuses to delete."""
    refused = False
    while not refused:
        try:
            await live.request("DELETE", f"{live.path}/{name}?dryRun=All")
        except RefusedError:
            refused = True


def finalizers(live: LiveInstances, name: str) -> list[str]:
    found: list[str] = live[name]["metadata"].get("finalizers", [])
    return found


def is_going(live: LiveInstances, name: str) -> bool:
    return name in live and "deletionTimestamp" in live[name]["metadata"]


@asynccontextmanager
async def held_back(operator: Operator, name: str) -> AsyncIterator[None]:
    """Have an operator decide without what is new of one instance; it hears of that in the end."""
    feed = operator.intake.feeds[0]
    hear, missed = feed.handle_event, list[tuple[str, Manifest]]()

    def on_event(kind: str, raw: Manifest) -> None:
        missed.append((kind, raw)) if raw["metadata"]["name"] == name else hear(kind, raw)

    feed.handle_event = on_event  # type: ignore[method-assign]
    try:
        yield
    finally:
        feed.handle_event = hear  # type: ignore[method-assign]
        for event in missed:
            hear(*event)


def conflicts(operator: Operator) -> float:
    """Count how often somebody else was faster."""
    return PrometheusSamples(operator.metrics.render().decode()).total("hopper_reconciles_total", result="conflict")


@asynccontextmanager
async def refusing_deletion(live: LiveInstances, name: str) -> AsyncIterator[None]:
    """Have a policy that does not let anybody delete an instance."""
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
        await until_in_force(live, name)
        yield
    finally:
        for plural in objects:
            await live.request("DELETE", f"{policies}/{plural}/{policy}")


class TestCascade:
    @pytest.mark.parametrize("propagation", ["Background", "Foreground"])
    async def test_deepest_first(self, live: LiveInstances, family: None, propagation: str) -> None:
        await live.create("bystander")
        await live.until_phase("Running", "bystander")
        await live.delete("global", propagation)
        await live.until_gone(*NAMES)
        gone = [live.index_of_deletion(name) for name in reversed(NAMES)]
        assert gone == sorted(gone)
        assert live.is_ready("bystander")

    async def test_of_a_part(self, live: LiveInstances, family: None) -> None:
        await live.create("other", "Event", "web")
        await live.until_phase("Running", "other")
        await live.delete("party")
        await live.until_gone("party", "worker")
        assert live.index_of_deletion("worker") < live.index_of_deletion("party")
        await live.until(lambda: live.status("web").get("children") == {"total": 1, "ready": 1}, "web counts one child")
        for name in ("global", "web", "other"):
            assert live.is_ready(name)
            assert not is_going(live, name)

    async def test_of_a_wide_tree(self, live: LiveInstances, operator: Operator) -> None:
        projects, workers = range(5), range(10)
        await live.create_from(
            manifest("global", "Global"),
            *(manifest(f"p{n}", "Project", "global") for n in projects),
            *(manifest(f"p{n}-{m}", "Orchestration", f"p{n}") for n in projects for m in workers),
        )
        await live.until_phase("Running", "global", *(f"p{n}-{m}" for n in projects for m in workers))
        parents = ["global", *(f"p{n}" for n in projects)]
        await live.until(lambda: all(FINALIZER in finalizers(live, it) for it in parents), "parents are guarded")
        await live.delete("global")
        await live.until_gone("global")
        assert not live.names
        last = live.index_of_deletion("global")
        for n in projects:
            assert live.index_of_deletion(f"p{n}") < last
            assert all(live.index_of_deletion(f"p{n}-{m}") < live.index_of_deletion(f"p{n}") for m in workers)

    async def test_while_it_is_still_starting(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(*tree())
        await live.until(
            lambda: all(map(live.owner_names, NAMES[1:])), "they belong together"
        )  # else they wait for another
        await live.delete("global")
        await live.until_gone(*NAMES)

    async def test_a_leaf_has_nothing_to_wait_for(self, live: LiveInstances, family: None) -> None:
        assert finalizers(live, "worker") == []
        await live.delete("worker")
        await live.until_gone("worker")
        assert not any(is_going_version(seen.object) for seen in live.instances.log if seen.event_type == "MODIFIED")

    async def test_from_every_state(self, live: LiveInstances, operator: Operator) -> None:
        states = ["Running", "Paused", "Stopped", "Archived", "Terminated"]
        await live.create_from(
            *(manifest(state.lower(), desiredState=state) for state in states),
            *(manifest(f"{state}-child".lower(), "Event", state.lower()) for state in states),
            manifest("waiting", "Orchestration", "nobody"),
        )
        for state in states:
            await live.until_phase(state, state.lower())
            await live.until(lambda state=state: FINALIZER in finalizers(live, state.lower()), "it is guarded")
            await live.delete(state.lower())
        await live.delete("waiting")
        await live.until(lambda: not live.names, "all are gone")

    async def test_begun_before_the_operator_runs(self, live: LiveInstances) -> None:
        async with running_operator(live.namespace):
            await live.create_from(*tree())
            await live.until_phase("Running", *NAMES)
            await live.until(lambda: all(FINALIZER in finalizers(live, it) for it in NAMES[:-1]), "guarded")
        await live.delete("global")
        await live.until(lambda: is_going(live, "global"), "it waits for the operator")
        async with running_operator(live.namespace):
            await live.until_gone(*NAMES)

    async def test_of_a_parent_that_was_reborn(self, live: LiveInstances, operator: Operator) -> None:
        """The new one of the same name is another one: its predecessor's children are not its own."""
        await live.create_from(manifest("a"), manifest("b", "Event", "a"))
        await live.until_phase("Running", "a", "b")
        first = live["b"]["metadata"]["uid"]
        await live.delete("a")
        await live.until_gone("a", "b")
        await live.create_from(manifest("b", "Event", "a"), manifest("a"))
        await live.until_phase("Running", "a", "b")
        assert live["b"]["metadata"]["uid"] != first

    async def test_a_newcomer_below_one_that_is_going(self, live: LiveInstances, protected: str) -> None:
        await live.delete("party")
        await live.create("late", "Orchestration", "party")
        refused = await live.until_reason("late", "HierarchyValid", "ParentIsBeingDeleted")
        assert "choose another spec.parentRef.name" in refused["message"]
        assert live.phase("late") == "Created"
        await live.edit("late", parentRef={"name": "web"})
        await live.until_phase("Running", "late")
        assert "late" in live

    async def test_moving_out_saves(self, live: LiveInstances, protected: str) -> None:
        await live.delete("party")
        await live.until_reason("party", "Stalled", "DeletionBlocked")
        await live.edit(protected, parentRef={"name": "web"})
        await live.until_gone("party")
        await live.until(lambda: live.owner_names(protected) == ["web"], "it has moved")
        assert live.phase(protected) == "Running"

    async def test_on_old_news_takes_nobody_along(self, live: LiveInstances, operator: Operator, family: None) -> None:
        """What has moved away is kept, though the operator has not heard of that yet."""
        async with held_back(operator, "worker"):
            await live.edit("worker", parentRef={"name": "web"})
            await live.delete("party")
            await live.until(lambda: conflicts(operator), "it was decided on old news")
        await live.until_gone("party")
        await live.until(lambda: live.owner_names("worker") == ["web"], "it has moved")
        assert live.phase_history("worker") == ["Created", "Starting", "Running"]

    async def test_that_a_policy_refuses_is_told(self, live: LiveInstances, family: None) -> None:
        """The child says so, its parents say for whom they wait, and it does what else is wanted."""
        async with refusing_deletion(live, "worker"):
            await live.delete("web")
            refused = await live.until_reason("worker", "Stalled", "WriteRefused")
            assert "deletion (ParentIsBeingDeleted)" in refused["message"]
            assert "change freeze until Monday" in refused["message"]
            assert not live.is_ready("worker")
            blocked = await live.until_reason("web", "Stalled", "DeletionBlocked")
            assert (
                blocked["message"]
                == "deletion waits for party, whose own deletion is blocked; see the Ready condition there"
            )
            await live.edit("worker", desiredState="Stopped")
            await live.until_phase("Stopped", "worker")
        await live.edit("worker", displayName="look again")
        await live.until_gone("web", "party", "worker")

    async def test_held_up_by_somebody_elses_finalizer(
        self, live: LiveInstances, family: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Protection comes and goes meanwhile; in the end, what is in the way is named."""
        monkeypatch.setattr("hopper.domain.planner.DETAILS_AFTER_SECONDS", 1.0)
        await live.patch("worker", {"metadata": {"finalizers": ["example.com/hold"]}})
        await live.edit("worker", deletionProtection=True)
        await until_in_force(live, "worker")
        await live.delete("party")
        await live.until_reason("party", "Stalled", "DeletionBlocked")
        await live.edit("worker", deletionProtection=False)
        await live.until(lambda: not live.condition("party", "Stalled"), "nothing is protected any more")
        said = "deletion waits for worker (finalizer example.com/hold): the controller of the finalizer must remove it"
        await live.until(lambda: live.condition("party", "Ready").get("message") == said, said)
        await live.patch("worker", {"metadata": {"finalizers": None}})
        await live.until_gone("party", "worker")

    async def test_without_the_operator(self, live: LiveInstances) -> None:
        """Garbage collection is the safety net: it follows the ownerReferences."""
        async with running_operator(live.namespace):
            await live.create_from(*tree())
            await live.until_phase("Running", *NAMES)
            await live.until(lambda: all(FINALIZER in finalizers(live, it) for it in NAMES[:-1]), "guarded")
        for name in NAMES:
            await live.patch(name, {"metadata": {"finalizers": None}})
        await live.delete("global")
        await live.until_gone(*NAMES)


class TestProtection:
    async def test_is_refused_at_admission(self, live: LiveInstances, protected: str) -> None:
        with pytest.raises(RefusedError, match="deletionProtection of worker is true"):
            await live.delete(protected)

    async def test_of_a_child_holds_up_its_parents(self, live: LiveInstances, protected: str) -> None:
        await live.delete("global")
        blocked = await live.until_reason("party", "Stalled", "DeletionBlocked")
        assert blocked["message"].startswith("deletion waits for worker: set spec.deletionProtection to false there")
        for name in NAMES[:-1]:
            assert is_going(live, name)
        assert not is_going(live, protected)
        assert live.phase(protected) == "Running"
        await live.edit(protected, deletionProtection=False)
        await live.until_gone(*NAMES)
        gone = [live.index_of_deletion(name) for name in reversed(NAMES)]
        assert gone == sorted(gone)

    async def test_holds_against_time(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", desiredState="Terminated", ttlSecondsAfterFinished=0, deletionProtection=True)
        await live.until_phase("Terminated", "a")
        await live.edit("a", deletionProtection=False)
        await live.until_gone("a")


class TestOrphans:
    @pytest.fixture
    async def orphan(self, live: LiveInstances, operator: Operator) -> str:
        """The name of a child whose parent was deleted with `--cascade=orphan`."""
        await live.create_from(manifest("a"), manifest("b", "Event", "a"), manifest("c", "Orchestration", "b"))
        await live.until_phase("Running", "a", "b", "c")
        await live.until(lambda: FINALIZER in finalizers(live, "a"), "the parent is guarded")
        await live.delete("a", "Orphan")
        await live.until_gone("a")
        return "b"

    async def test_are_reported_and_keep_running(self, live: LiveInstances, orphan: str) -> None:
        reported = await live.until_reason(orphan, "HierarchyValid", "Orphaned")
        assert reported["status"] == "False"
        assert 'parent "a" no longer exists; what runs keeps running' in reported["message"]
        assert live.owner_names(orphan) == []
        event = await live.until_event(orphan, "Orphaned")
        assert (event["type"], event["note"]) == ("Warning", reported["message"])
        for name in (orphan, "c"):
            assert live.is_ready(name)
            assert live.phase_history(name) == ["Created", "Starting", "Running"]

    async def test_are_adopted_when_the_parent_comes_back(self, live: LiveInstances, orphan: str) -> None:
        await live.until_reason(orphan, "HierarchyValid", "Orphaned")
        await live.create("a")
        await live.until_reason(orphan, "HierarchyValid", "ParentAccepted")
        assert live.owner_names(orphan) == ["a"]
        assert live[orphan]["metadata"]["ownerReferences"][0]["uid"] == live["a"]["metadata"]["uid"]
        await live.until_phase("Running", "a", orphan, "c")
        assert live.phase_history(orphan) == ["Created", "Starting", "Running"]
        await live.edit("a", desiredState="Paused")
        await live.until_phase("Paused", orphan, "c")

    async def test_can_be_stopped_and_started(self, live: LiveInstances, orphan: str) -> None:
        await live.edit(orphan, desiredState="Stopped")
        await live.until_phase("Stopped", orphan, "c")
        await live.edit(orphan, desiredState="Running")
        held = await live.until_reason(orphan, "Ready", "Orphaned")
        assert "Create the parent, or change spec.parentRef.name" in held["message"]
        await live.create("a")
        await live.until_phase("Running", orphan, "c")


class TestTimeToLive:
    async def test_on_old_news_ends_nobody(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", desiredState="Stopped", ttlSecondsAfterFinished=10)
        await live.until_phase("Stopped", "a")
        async with held_back(operator, "a"):
            await live.edit("a", desiredState="Running")
            await live.until(lambda: conflicts(operator), "it was decided on old news")
        await live.until_phase("Running", "a")
        assert live.phase_history("a") == ["Created", "Stopped", "Starting", "Running"]

    async def test_begins_with_the_own_wish(self, live: LiveInstances, operator: Operator) -> None:
        """However long an ancestor has held it before."""
        await live.create_from(manifest("a", desiredState="Stopped"), manifest("b", "Event", "a"))
        await live.until_phase("Stopped", "a", "b")
        stopped = live.status("b")["stoppedAt"]
        await live.edit("b", ttlSecondsAfterFinished=3600, desiredState="Stopped")
        await live.until(lambda: live.condition("b", "Ready")["reason"] == "Stopped", "its own wish")
        assert live.status("b")["stoppedAt"] >= stopped
        assert live.phase_history("b") == ["Created", "Stopped"]

    async def test_of_what_has_finished(self, live: LiveInstances, operator: Operator) -> None:
        """Stopped and Terminated are ends, Running, Paused and Archived are not."""
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

    async def test_is_no_end_below_a_stopped_parent(self, live: LiveInstances, operator: Operator) -> None:
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

    async def test_takes_the_terminated_below_along(self, live: LiveInstances, operator: Operator) -> None:
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
        gone = [live.index_of_deletion(name) for name in "cba"]
        assert gone == sorted(gone)

    async def test_can_be_given_later(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        await live.edit("a", ttlSecondsAfterFinished=3600)
        await live.until(lambda: live.is_observed("a"), "the operator knows")
        assert "a" in live
        await live.edit("a", ttlSecondsAfterFinished=0)
        await live.until_gone("a")

    async def test_survives_an_operator_restart(self, live: LiveInstances) -> None:
        async with running_operator(live.namespace):
            await live.create("a", desiredState="Stopped", ttlSecondsAfterFinished=2)
            await live.until_phase("Stopped", "a")
        async with running_operator(live.namespace):
            await live.until_gone("a")


def is_going_version(version: dict[str, dict[str, object]]) -> bool:
    return "deletionTimestamp" in version["metadata"]
