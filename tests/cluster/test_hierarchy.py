"""Who may live below whom, in whatever order they come; moving house; and ownerReferences that are always right."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hopper.api.enums import Scope
from hopper.api.names import FINALIZER
from hopper.api.scopes import SCOPES
from hopper.controller.operator import Operator
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, RefusedError, fresh_namespace, manifest


def owner(live: LiveInstances, name: str, **more: Any) -> dict[str, Any]:
    uid = live[name]["metadata"]["uid"]
    return {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "name": name, "uid": uid, **more}


def place(live: LiveInstances, name: str) -> tuple[str | None, int | None]:
    status = live.status(name)
    return status.get("path"), status.get("depth")


async def until_place(live: LiveInstances, name: str, path: str) -> None:
    await live.until(lambda: place(live, name) == (path, path.count("/")), f"{name} at {path}")


class TestScopes:
    async def test_every_pair(self, live: LiveInstances, operator: Operator) -> None:
        """Each scope below each: admission refuses what it can tell, the operator the rest, and nobody else suffers."""
        parents = {scope: "global" if scope is Scope.GLOBAL else f"p-{scope.lower()}" for scope in Scope}
        homeless = parents[Scope.ORCHESTRATION]
        await live.create_from(
            *(manifest(name, scope) for scope, name in parents.items() if name != homeless),
            manifest(homeless, "Orchestration", parents[Scope.PROJECT]),
        )
        await live.until_phase("Running", *parents.values())
        for child in Scope:
            for parent in Scope:
                name, above = f"{child}-below-{parent}".lower(), parents[parent]
                allowed = parent in SCOPES[child].parents
                refused = await refusal(live, manifest(name, child, above))
                if refused:
                    assert not allowed, refused
                    assert "spec.parentRef" in refused
                elif allowed:
                    await live.until_phase("Running", name)
                    assert live.owner_names(name) == [above]
                else:
                    wrong = await live.until_reason(name, "Stalled", "WrongParentScope")
                    assert wrong["message"].startswith(f'spec.parentRef.name: "{above}" ')
                    assert all(fit in wrong["message"] for fit in SCOPES[child].parents)
                    assert live.condition(name, "HierarchyValid")["status"] == "False"
                    assert live.phase(name) == "Created"
                    assert live.owner_names(name) == []
        assert all(live.is_ready(name) for name in parents.values())

    async def test_roots(self, live: LiveInstances, operator: Operator) -> None:
        roots = [scope for scope, rule in SCOPES.items() if rule.may_be_root]
        names = {scope: "global" if scope is Scope.GLOBAL else scope.lower() for scope in roots}
        await live.create_from(*(manifest(name, scope) for scope, name in names.items()))
        await live.until_phase("Running", *names.values())
        for name in names.values():
            assert place(live, name) == (name, 0)
            assert live.condition(name, "HierarchyValid") == {}
            assert FINALIZER not in live[name]["metadata"].get("finalizers", [])

    async def test_the_wrong_one_goes_on_below_the_right_one(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a", "Federated"), manifest("b", "Event", "a"), manifest("c", "Project"))
        await live.until_reason("b", "Stalled", "WrongParentScope")
        await live.edit("b", parentRef={"name": "c"})
        await live.until_phase("Running", "b")
        assert live.condition("b", "Stalled") == {}
        assert live.condition("b", "HierarchyValid")["status"] == "True"


class TestOrderOfArrival:
    async def test_a_child_waits_for_its_parent(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("worker", "Orchestration", "web")
        missing = await live.until_reason("worker", "HierarchyValid", "ParentNotFound")
        assert missing["status"] == "False"
        assert 'waits for parent "web" (spec.parentRef.name)' in missing["message"]
        assert live.phase("worker") == "Created"
        assert live.condition("worker", "Reconciling")["reason"] == "ParentNotFound"
        await live.create("web")
        await live.until_phase("Running", "worker")
        assert live.condition("worker", "HierarchyValid")["status"] == "True"
        assert live.owner_names("worker") == ["web"]
        assert FINALIZER in live["web"]["metadata"]["finalizers"]
        await live.until(lambda: live.status("web").get("children") == {"total": 1, "ready": 1}, "web counts it")
        assert (await live.until_event("web", "ChildAdded"))["note"] == "worker is now a child"

    @pytest.mark.parametrize("seed", range(2))
    async def test_any(self, live: LiveInstances, operator: Operator, seed: int) -> None:
        """50 instances in a random order."""
        tree = random_tree()
        manifests = [manifest(*entry) for entry in tree]
        random.Random(seed).shuffle(manifests)
        await live.create_from(*manifests)
        await live.until(lambda: len(live.names) == 50, "all are there")
        await live.until_phase("Running")
        paths = {"global": "global"}
        for name, _, parent in tree:
            if parent:
                paths[name] = f"{paths[parent]}/{name}"
            assert place(live, name) == (paths[name], paths[name].count("/"))
            assert live.owner_names(name) == ([parent] if parent else [])
            assert live.phase_history(name) == ["Created", "Starting", "Running"]
            count = sum(entry[2] == name for entry in tree)
            summary = {"total": count, "ready": count} if count else None
            await live.until(lambda name=name, summary=summary: live.status(name).get("children") == summary, name)
            assert (FINALIZER in live[name]["metadata"].get("finalizers", [])) == bool(count)

    async def test_before_the_operator(self, live: LiveInstances) -> None:
        await live.create_from(*(manifest(*entry) for entry in reversed(random_tree())))
        async with running_operator(live.namespace):
            await live.until_phase("Running")


class TestCycles:
    async def test_are_named_and_can_be_broken(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(
            manifest("a", "Personal", "b"),
            manifest("b", "Personal", "c"),
            manifest("c", "Personal", "a"),
            manifest("below", "Orchestration", "a"),
            manifest("family", "Family"),
            manifest("bystander", "Personal", "family"),
        )
        for name, circle in (("a", "a → b → c → a"), ("b", "b → c → a → b"), ("c", "c → a → b → c")):
            stalled = await live.until_reason(name, "Stalled", "ParentCycle")
            assert stalled["message"].startswith(f"spec.parentRef.name forms a cycle: {circle}; change")
            assert live.owner_names(name) == []
        await live.until_reason("below", "Ready", "ParentNotReady")
        await live.until_phase("Running", "bystander")
        for name in "abc":
            await live.edit(name, parentRef={"name": "family"})
        await live.until_phase("Running", "a", "b", "c", "below")
        assert place(live, "below") == ("family/a/below", 2)

    async def test_of_those_who_run_harm_nobody(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a", "Personal"), manifest("b", "Personal"), manifest("f", "Family"))
        await live.until_phase("Running")
        await live.edit("a", parentRef={"name": "b"})
        await live.edit("b", parentRef={"name": "a"})
        for name in "ab":
            await live.until_reason(name, "Stalled", "ParentCycle")
            assert live.phase(name) == "Running"
        await live.edit("a", parentRef=None)
        await live.edit("b", parentRef={"name": "f"})
        await live.until(lambda: live.is_ready("a") and live.is_ready("b"), "both are well")
        assert live.phase_history("a") == live.phase_history("b") == ["Created", "Starting", "Running"]


class TestLimits:
    async def test_a_newcomer_displaces_nobody(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("home", config={"limits": {"maxChildInstances": 2}})
        await live.create_from(manifest("m", "Event", "home"), manifest("n", "Event", "home"))
        await live.until_phase("Running", "home", "m", "n")
        await live.create_from(manifest("a", "Event", "home"), manifest("z", "Event", "home"))
        for name in "az":
            stalled = await live.until_reason(name, "Stalled", "TooManyChildren")
            told = 'parent "home" allows at most 2 children (config.limits.maxChildInstances), but '
            assert stalled["message"].startswith(told)
            assert live.phase(name) == "Created"
            assert live.owner_names(name) == []
        assert live.is_ready("m")
        assert live.is_ready("n")

        await live.delete("m")
        await live.until(lambda: live.is_ready("a") != live.is_ready("z"), "the free seat is taken")
        await live.edit("home", config={"limits": {"maxChildInstances": 3}})
        await live.until_phase("Running", "a", "n", "z")
        assert live.phase_history("n") == ["Created", "Starting", "Running"]

    async def test_a_seat_is_freed_by_moving_out(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(
            manifest("home", config={"limits": {"maxChildInstances": 1}}),
            manifest("away"),
            manifest("m", "Event", "home"),
        )
        await live.until_phase("Running", "m")
        await live.create("n", "Event", "home")
        await live.until_reason("n", "Stalled", "TooManyChildren")
        await live.edit("m", parentRef={"name": "away"})
        await live.until_phase("Running", "m", "n")
        assert (live.owner_names("m"), live.owner_names("n")) == (["away"], ["home"])

    async def test_a_lower_limit_sends_nobody_away(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("home"), *(manifest(name, "Event", "home") for name in "abc"))
        await live.until_phase("Running", "home", *"abc")
        await live.edit("home", config={"limits": {"maxChildInstances": 1}})
        await live.until(lambda: sum(map(live.is_ready, "abc")) == 1, "those over the limit say so")
        assert [live.phase(name) for name in "abc"] == ["Running"] * 3

    async def test_a_crowd_at_once(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("home", config={"limits": {"maxChildInstances": 5}})
        crowd = [f"c-{number}" for number in range(20)]
        await live.create_from(*(manifest(name, "Event", "home") for name in crowd))
        await live.until(lambda: sum(map(live.is_ready, crowd)) == 5, "five have a seat")
        await live.until(lambda: all(live.status(name) for name in crowd), "everybody has an answer")
        waiting = [name for name in crowd if not live.is_ready(name)]
        assert {live.condition(name, "Stalled").get("reason") for name in waiting} == {"TooManyChildren"}
        assert {live.phase(name) for name in waiting} == {"Created"}

    async def test_the_default_of_a_global_instance(self, live: LiveInstances, operator: Operator) -> None:
        await live.create("global", "Global")
        crowd = [f"c-{number}" for number in range(102)]
        await live.create_from(*(manifest(name, "Federated", "global") for name in crowd))
        await live.until(lambda: all(live.status(name) for name in crowd), "everybody has an answer")
        await live.until(lambda: sum(map(live.is_ready, crowd)) == 100, "a hundred have a seat")
        await live.edit("global", config={"limits": {"maxChildInstances": 102}})
        await live.until_phase("Running", *crowd)

    async def test_depth(self, live: LiveInstances, operator: Operator) -> None:
        """The smallest limit above holds, whoever set it."""
        await live.create_from(
            manifest("global", "Global", config={"limits": {"maxDepth": 2}}),
            manifest("web", "Project", "global", config={"limits": {"maxDepth": 7}}),
            manifest("party", "Event", "web"),
            manifest("worker", "Orchestration", "party"),
            manifest("shallow", "Orchestration", "web"),
        )
        stalled = await live.until_reason("worker", "Stalled", "TooDeep")
        assert 'depth 3 is over the limit of 2 (config.limits.maxDepth of "global")' in stalled["message"]
        await live.until_phase("Running", "global", "web", "party", "shallow")
        await live.edit("global", config={"limits": {"maxDepth": 3}})
        await live.until_phase("Running", "worker")


class TestMoving:
    async def test_takes_the_subtree_along(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(
            manifest("global", "Global"),
            manifest("garden", "Family", "global"),
            manifest("ada", "Personal", "garden"),
            manifest("notes", "Orchestration", "ada"),
        )
        await live.until_phase("Running")
        await until_place(live, "notes", "global/garden/ada/notes")
        await live.edit("ada", parentRef={"name": "global"})
        await until_place(live, "notes", "global/ada/notes")
        await until_place(live, "ada", "global/ada")
        assert live.owner_names("ada") == ["global"]
        await live.until(lambda: live.status("garden").get("children") is None, "garden counts nobody")
        await live.until(lambda: live.status("global").get("children", {}).get("total") == 2, "global counts two")
        await live.until(lambda: FINALIZER not in live["garden"]["metadata"].get("finalizers", []), "nothing to guard")
        assert (await live.until_event("garden", "ChildRemoved"))["note"] == "ada is no longer a child"
        assert (await live.until_event("ada", "ParentChanged"))["note"] == "parent changed from garden to global"
        await live.until(lambda: "ada is now a child" in notes(live, "global", "ChildAdded"), "the Event")
        for name in ("ada", "notes"):
            assert live.phase_history(name) == ["Created", "Starting", "Running"]

    async def test_out_into_the_open(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a"), manifest("b", "Event", "a"))
        await live.until_phase("Running", "a", "b")
        await live.edit("b", parentRef=None)
        await until_place(live, "b", "b")
        assert live.owner_names("b") == []
        assert (await live.until_event("b", "ParentChanged"))["note"] == "parent changed from a to none"
        await live.delete("a")
        await live.until_gone("a")
        assert live.is_ready("b")

    async def test_to_one_who_is_not_there_yet(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a"), manifest("b", "Event", "a"))
        await live.until_phase("Running", "a", "b")
        await live.edit("b", parentRef={"name": "later"})
        missing = await live.until_reason("b", "HierarchyValid", "ParentNotFound")
        assert 'parent "later" (spec.parentRef.name) does not exist yet; what runs keeps running' in missing["message"]
        assert live.phase("b") == "Running"
        assert live.owner_names("b") == []
        await live.create("later")
        await until_place(live, "b", "later/b")
        assert live.owner_names("b") == ["later"]

    async def test_changes_what_is_inherited(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a", desiredState="Stopped"), manifest("b"), manifest("c", "Event", "a"))
        await live.until_phase("Stopped", "c")
        await live.edit("c", parentRef={"name": "b"})
        await live.until_phase("Running", "c")
        await live.edit("c", parentRef={"name": "a"})
        await live.until_phase("Stopped", "c")


class TestOwnerReferences:
    @pytest.fixture
    async def family(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a"), manifest("b", "Event", "a"), manifest("stranger"))
        await live.until_phase("Running", "a", "b", "stranger")

    async def test_form(self, live: LiveInstances, family: None) -> None:
        expected = owner(live, "a", controller=True, blockOwnerDeletion=True)
        assert live["b"]["metadata"]["ownerReferences"] == [expected]

    async def test_come_back_when_stripped(self, live: LiveInstances, family: None) -> None:
        await live.patch("b", {"metadata": {"ownerReferences": None}})
        await live.until(lambda: live.owner_names("b") == ["a"], "the ownerReference is back")
        assert live.phase_history("b") == ["Created", "Starting", "Running"]

    async def test_come_back_though_a_limit_was_lowered(self, live: LiveInstances, family: None) -> None:
        await live.create("c", "Event", "a")
        await live.until_phase("Running", "c")
        await live.edit("a", config={"limits": {"maxChildInstances": 1}})
        await live.until(lambda: not (live.is_ready("b") and live.is_ready("c")), "one is over the limit")
        for name in "bc":
            await live.patch(name, {"metadata": {"ownerReferences": None}})
            await live.until(lambda name=name: live.owner_names(name) == ["a"], f"the ownerReference of {name} is back")
        await live.edit("a", desiredState="Paused")
        await live.until_phase("Paused", "a", "b", "c")

    async def test_are_put_right(self, live: LiveInstances, family: None) -> None:
        wrong = owner(live, "stranger", controller=True)
        await live.patch("b", {"metadata": {"ownerReferences": [wrong]}})
        await live.until(lambda: live.owner_names("b") == ["a"], "the ownerReference is right")
        await live.patch("stranger", {"metadata": {"ownerReferences": [owner(live, "a")]}})
        await live.until(lambda: live.owner_names("stranger") == [], "a root has none")

    async def test_of_other_kinds_are_kept(self, live: LiveInstances, family: None) -> None:
        maps = f"/api/v1/namespaces/{live.namespace}/configmaps"
        made = await live.request("POST", maps, {"metadata": {"name": "application"}})
        foreign = {"apiVersion": "v1", "kind": "ConfigMap", "name": "application", "uid": made["metadata"]["uid"]}
        await live.patch("b", {"metadata": {"ownerReferences": [foreign | {"controller": True}]}})
        await live.until(lambda: live.owner_names("b") == ["application", "a"], "both own it")
        assert live["b"]["metadata"]["ownerReferences"][1] == owner(
            live, "a", controller=False, blockOwnerDeletion=True
        )
        await live.edit("b", parentRef=None)
        await live.until(lambda: live.owner_names("b") == ["application"], "the other kind's reference stays")

    async def test_finalizers_of_others_are_kept(self, live: LiveInstances, family: None) -> None:
        await live.patch("a", {"metadata": {"finalizers": ["example.com/audit", FINALIZER]}})
        await live.delete("b")
        await live.until(lambda: live["a"]["metadata"].get("finalizers") == ["example.com/audit"], "ours is gone")

    async def test_a_stripped_finalizer_comes_back(self, live: LiveInstances, family: None) -> None:
        await live.patch("a", {"metadata": {"finalizers": None}})
        await live.until(lambda: live["a"]["metadata"].get("finalizers") == [FINALIZER], "the finalizer is back")


class TestNamespaces:
    async def test_do_not_mix(self, live: LiveInstances, kubeconfig: str) -> None:
        """One operator, two namespaces with the same names in them."""
        async with fresh_namespace() as other, running_operator(live.namespace, other.namespace):
            await live.create_from(manifest("global", "Global"), manifest("web", "Project", "global"))
            await other.create("web", "Project", "global")
            await live.until_phase("Running", "global", "web")
            await other.until_reason("web", "HierarchyValid", "ParentNotFound")
            await live.edit("global", desiredState="Paused")
            await live.until_phase("Paused", "global", "web")
            await other.create("global", "Global")
            await other.until_phase("Running", "global", "web")


class TestConfiguration:
    async def test_is_inherited(self, live: LiveInstances, operator: Operator) -> None:
        """A limit cannot be loosened further down, and what is changed above holds below."""
        await live.create_from(
            manifest("garden", "Family", config={"limits": {"maxDepth": 1}}),
            manifest("ada", "Personal", "garden", config={"limits": {"maxDepth": 5}}),
            manifest("notes", "Orchestration", "ada"),
        )
        await live.until_reason("notes", "Stalled", "TooDeep")
        await live.edit("garden", config={"limits": {"maxDepth": 2}})
        await live.until_phase("Running", "notes")
        await live.edit("garden", config=None)
        await live.edit("ada", config={"limits": {"maxDepth": 1}})
        await live.until_reason("notes", "Ready", "TooDeep")
        assert live.phase("notes") == "Running"


def random_tree() -> list[tuple[str, str, str | None]]:
    """50 instances: a Global one, 4 Projects, 3 Families, Events, Personals and Orchestrations below; parents first."""
    tree: list[tuple[str, str, str | None]] = [("global", "Global", None)]
    tree += [(f"web-{n}", "Project", "global") for n in range(4)]
    tree += [(f"family-{n}", "Family", "global") for n in range(3)]
    tree += [(f"event-{n}", "Event", f"web-{n % 4}") for n in range(6)]
    tree += [(f"person-{n}", "Personal", f"family-{n % 3}") for n in range(6)]
    homes = [name for name, scope, _ in tree if scope in ("Project", "Event", "Personal")]
    tree += [(f"worker-{n}", "Orchestration", homes[n % len(homes)]) for n in range(50 - len(tree))]
    return tree


async def refusal(live: LiveInstances, body: dict[str, Any]) -> str | None:
    """Create an instance; return what the API server says where it refuses."""
    try:
        await live.create_from(body)
    except RefusedError as refused:
        return str(refused)
    return None


def notes(live: LiveInstances, name: str, reason: str) -> set[str]:
    return {event["note"] for event in live.events_of(name, reason)}
