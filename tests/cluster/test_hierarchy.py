"""Parents and children: scopes, creation order, cycles, limits, moves and ownerReferences."""

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


def owner_reference(live: LiveInstances, name: str, **more: Any) -> dict[str, Any]:
    """Return an ownerReference to an instance."""
    uid = live[name]["metadata"]["uid"]
    return {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "name": name, "uid": uid, **more}


def path_and_depth(live: LiveInstances, name: str) -> tuple[str | None, int | None]:
    status = live.status(name)
    return status.get("path"), status.get("depth")


async def until_path(live: LiveInstances, name: str, path: str) -> None:
    await live.until(lambda: path_and_depth(live, name) == (path, path.count("/")), f"{name} at {path}")


class TestScopes:
    async def test_each_scope_accepts_only_its_allowed_parents(self, live: LiveInstances, operator: Operator) -> None:
        """Admission rejects some wrong parents and the operator the others. The parents are not affected."""
        parents = {scope: "global" if scope is Scope.GLOBAL else f"p-{scope.lower()}" for scope in Scope}
        not_a_root = parents[Scope.ORCHESTRATION]
        await live.create_from(
            *(manifest(name, scope) for scope, name in parents.items() if name != not_a_root),
            manifest(not_a_root, "Orchestration", parents[Scope.PROJECT]),
        )
        await live.until_phase("Running", *parents.values())
        for child in Scope:
            for parent in Scope:
                name, parent_name = f"{child}-below-{parent}".lower(), parents[parent]
                allowed = parent in SCOPES[child].parents
                rejected = await rejection(live, manifest(name, child, parent_name))
                if rejected:
                    assert not allowed, rejected
                    assert "spec.parentRef" in rejected
                elif allowed:
                    await live.until_phase("Running", name)
                    assert live.owner_names(name) == [parent_name]
                else:
                    stalled = await live.until_reason(name, "Stalled", "WrongParentScope")
                    assert stalled["message"].startswith(f'spec.parentRef.name: "{parent_name}" ')
                    assert all(scope in stalled["message"] for scope in SCOPES[child].parents)
                    assert live.condition(name, "HierarchyValid")["status"] == "False"
                    assert live.phase(name) == "Created"
                    assert live.owner_names(name) == []
        assert all(live.is_ready(name) for name in parents.values())

    async def test_scopes_that_need_no_parent_run_as_roots(self, live: LiveInstances, operator: Operator) -> None:
        roots = [scope for scope, rule in SCOPES.items() if rule.may_be_root]
        names = {scope: "global" if scope is Scope.GLOBAL else scope.lower() for scope in roots}
        await live.create_from(*(manifest(name, scope) for scope, name in names.items()))
        await live.until_phase("Running", *names.values())
        for name in names.values():
            assert path_and_depth(live, name) == (name, 0)
            assert live.condition(name, "HierarchyValid") == {}
            assert FINALIZER not in live[name]["metadata"].get("finalizers", [])

    async def test_a_child_of_a_wrong_scope_runs_after_moving_to_a_right_one(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(manifest("a", "Federated"), manifest("b", "Event", "a"), manifest("c", "Project"))
        await live.until_reason("b", "Stalled", "WrongParentScope")
        await live.edit("b", parentRef={"name": "c"})
        await live.until_phase("Running", "b")
        assert live.condition("b", "Stalled") == {}
        assert live.condition("b", "HierarchyValid")["status"] == "True"


class TestCreationOrder:
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
        await live.until(lambda: live.status("web").get("children") == {"total": 1, "ready": 1}, "web counts one child")
        assert (await live.until_event("web", "ChildAdded"))["note"] == "worker is now a child"

    @pytest.mark.parametrize("seed", range(2))
    async def test_a_tree_created_in_any_order_ends_up_the_same(
        self, live: LiveInstances, operator: Operator, seed: int
    ) -> None:
        tree = tree_of_50()
        manifests = [manifest(*entry) for entry in tree]
        random.Random(seed).shuffle(manifests)
        await live.create_from(*manifests)
        await live.until(lambda: len(live.names) == 50, "50 instances exist")
        await live.until_phase("Running")
        paths = {"global": "global"}
        for name, _, parent in tree:
            if parent:
                paths[name] = f"{paths[parent]}/{name}"
            assert path_and_depth(live, name) == (paths[name], paths[name].count("/"))
            assert live.owner_names(name) == ([parent] if parent else [])
            assert live.phase_history(name) == ["Created", "Starting", "Running"]
            count = sum(entry[2] == name for entry in tree)
            summary = {"total": count, "ready": count} if count else None
            await live.until(
                lambda name=name, summary=summary: live.status(name).get("children") == summary,
                f"{name} counts {count} children",
            )
            assert (FINALIZER in live[name]["metadata"].get("finalizers", [])) == bool(count)

    async def test_a_tree_created_before_the_operator_starts_runs(self, live: LiveInstances) -> None:
        await live.create_from(*(manifest(*entry) for entry in reversed(tree_of_50())))
        async with running_operator(live.namespace):
            await live.until_phase("Running")


class TestCycles:
    async def test_a_cycle_is_reported_and_can_be_broken(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(
            manifest("a", "Personal", "b"),
            manifest("b", "Personal", "c"),
            manifest("c", "Personal", "a"),
            manifest("below", "Orchestration", "a"),
            manifest("family", "Family"),
            manifest("bystander", "Personal", "family"),
        )
        for name, cycle in (("a", "a → b → c → a"), ("b", "b → c → a → b"), ("c", "c → a → b → c")):
            stalled = await live.until_reason(name, "Stalled", "ParentCycle")
            assert stalled["message"].startswith(f"spec.parentRef.name forms a cycle: {cycle}; change")
            assert live.owner_names(name) == []
        await live.until_reason("below", "Ready", "ParentNotReady")
        await live.until_phase("Running", "bystander")
        for name in "abc":
            await live.edit(name, parentRef={"name": "family"})
        await live.until_phase("Running", "a", "b", "c", "below")
        assert path_and_depth(live, "below") == ("family/a/below", 2)

    async def test_running_instances_in_a_cycle_keep_running(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a", "Personal"), manifest("b", "Personal"), manifest("f", "Family"))
        await live.until_phase("Running")
        await live.edit("a", parentRef={"name": "b"})
        await live.edit("b", parentRef={"name": "a"})
        for name in "ab":
            await live.until_reason(name, "Stalled", "ParentCycle")
            assert live.phase(name) == "Running"
        await live.edit("a", parentRef=None)
        await live.edit("b", parentRef={"name": "f"})
        await live.until(lambda: live.is_ready("a") and live.is_ready("b"), "a and b are ready")
        assert live.phase_history("a") == live.phase_history("b") == ["Created", "Starting", "Running"]


class TestLimits:
    async def test_a_child_over_the_limit_displaces_no_accepted_child(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create("home", config={"limits": {"maxChildInstances": 2}})
        await live.create_from(manifest("m", "Event", "home"), manifest("n", "Event", "home"))
        await live.until_phase("Running", "home", "m", "n")
        await live.create_from(manifest("a", "Event", "home"), manifest("z", "Event", "home"))
        for name in "az":
            stalled = await live.until_reason(name, "Stalled", "TooManyChildren")
            message = 'parent "home" allows at most 2 children (config.limits.maxChildInstances), but '
            assert stalled["message"].startswith(message)
            assert live.phase(name) == "Created"
            assert live.owner_names(name) == []
        assert live.is_ready("m")
        assert live.is_ready("n")

        await live.delete("m")
        await live.until(lambda: live.is_ready("a") != live.is_ready("z"), "a or z has the free slot")
        await live.edit("home", config={"limits": {"maxChildInstances": 3}})
        await live.until_phase("Running", "a", "n", "z")
        assert live.phase_history("n") == ["Created", "Starting", "Running"]

    async def test_moving_a_child_away_frees_its_slot(self, live: LiveInstances, operator: Operator) -> None:
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

    async def test_a_lowered_limit_stops_no_running_child(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("home"), *(manifest(name, "Event", "home") for name in "abc"))
        await live.until_phase("Running", "home", *"abc")
        await live.edit("home", config={"limits": {"maxChildInstances": 1}})
        await live.until(lambda: sum(map(live.is_ready, "abc")) == 1, "only one of a, b and c is ready")
        assert [live.phase(name) for name in "abc"] == ["Running"] * 3

    async def test_of_many_children_at_once_only_the_limit_is_accepted(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create("home", config={"limits": {"maxChildInstances": 5}})
        names = [f"c-{number}" for number in range(20)]
        await live.create_from(*(manifest(name, "Event", "home") for name in names))
        await live.until(lambda: sum(map(live.is_ready, names)) == 5, "5 children are accepted")
        await live.until(lambda: all(live.status(name) for name in names), "all children have a status")
        waiting = [name for name in names if not live.is_ready(name)]
        assert {live.condition(name, "Stalled").get("reason") for name in waiting} == {"TooManyChildren"}
        assert {live.phase(name) for name in waiting} == {"Created"}

    async def test_a_global_instance_accepts_100_children_by_default(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create("global", "Global")
        names = [f"c-{number}" for number in range(102)]
        await live.create_from(*(manifest(name, "Federated", "global") for name in names))
        await live.until(lambda: all(live.status(name) for name in names), "all children have a status")
        await live.until(lambda: sum(map(live.is_ready, names)) == 100, "100 children are accepted")
        await live.edit("global", config={"limits": {"maxChildInstances": 102}})
        await live.until_phase("Running", *names)

    async def test_the_smallest_depth_limit_of_all_ancestors_applies(
        self, live: LiveInstances, operator: Operator
    ) -> None:
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
    async def test_moving_a_child_moves_its_subtree(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(
            manifest("global", "Global"),
            manifest("garden", "Family", "global"),
            manifest("ada", "Personal", "garden"),
            manifest("notes", "Orchestration", "ada"),
        )
        await live.until_phase("Running")
        await until_path(live, "notes", "global/garden/ada/notes")
        await live.edit("ada", parentRef={"name": "global"})
        await until_path(live, "notes", "global/ada/notes")
        await until_path(live, "ada", "global/ada")
        assert live.owner_names("ada") == ["global"]
        await live.until(lambda: live.status("garden").get("children") is None, "garden counts no child")
        await live.until(
            lambda: live.status("global").get("children", {}).get("total") == 2, "global counts 2 children"
        )
        await live.until(
            lambda: FINALIZER not in live["garden"]["metadata"].get("finalizers", []), "garden has no finalizer"
        )
        assert (await live.until_event("garden", "ChildRemoved"))["note"] == "ada is no longer a child"
        assert (await live.until_event("ada", "ParentChanged"))["note"] == "parent changed from garden to global"
        await live.until(
            lambda: "ada is now a child" in notes(live, "global", "ChildAdded"), "Event ChildAdded of global"
        )
        for name in ("ada", "notes"):
            assert live.phase_history(name) == ["Created", "Starting", "Running"]

    async def test_a_child_without_its_parentref_becomes_a_root(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a"), manifest("b", "Event", "a"))
        await live.until_phase("Running", "a", "b")
        await live.edit("b", parentRef=None)
        await until_path(live, "b", "b")
        assert live.owner_names("b") == []
        assert (await live.until_event("b", "ParentChanged"))["note"] == "parent changed from a to none"
        await live.delete("a")
        await live.until_gone("a")
        assert live.is_ready("b")

    async def test_a_child_moved_to_a_missing_parent_waits(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a"), manifest("b", "Event", "a"))
        await live.until_phase("Running", "a", "b")
        await live.edit("b", parentRef={"name": "later"})
        missing = await live.until_reason("b", "HierarchyValid", "ParentNotFound")
        assert 'parent "later" (spec.parentRef.name) does not exist yet; what runs keeps running' in missing["message"]
        assert live.phase("b") == "Running"
        assert live.owner_names("b") == []
        await live.create("later")
        await until_path(live, "b", "later/b")
        assert live.owner_names("b") == ["later"]

    async def test_a_moved_child_inherits_the_state_of_its_new_parent(
        self, live: LiveInstances, operator: Operator
    ) -> None:
        await live.create_from(manifest("a", desiredState="Stopped"), manifest("b"), manifest("c", "Event", "a"))
        await live.until_phase("Stopped", "c")
        await live.edit("c", parentRef={"name": "b"})
        await live.until_phase("Running", "c")
        await live.edit("c", parentRef={"name": "a"})
        await live.until_phase("Stopped", "c")


class TestOwnerReferences:
    @pytest.fixture
    async def parent_and_child(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a"), manifest("b", "Event", "a"), manifest("stranger"))
        await live.until_phase("Running", "a", "b", "stranger")

    async def test_the_owner_reference_names_the_parent_as_controller(
        self, live: LiveInstances, parent_and_child: None
    ) -> None:
        expected = owner_reference(live, "a", controller=True, blockOwnerDeletion=True)
        assert live["b"]["metadata"]["ownerReferences"] == [expected]

    async def test_a_removed_owner_reference_is_restored(self, live: LiveInstances, parent_and_child: None) -> None:
        await live.patch("b", {"metadata": {"ownerReferences": None}})
        await live.until(lambda: live.owner_names("b") == ["a"], "the ownerReference is back")
        assert live.phase_history("b") == ["Created", "Starting", "Running"]

    async def test_a_removed_owner_reference_is_restored_above_a_lowered_limit(
        self, live: LiveInstances, parent_and_child: None
    ) -> None:
        await live.create("c", "Event", "a")
        await live.until_phase("Running", "c")
        await live.edit("a", config={"limits": {"maxChildInstances": 1}})
        await live.until(lambda: not (live.is_ready("b") and live.is_ready("c")), "b or c is over the limit")
        for name in "bc":
            await live.patch(name, {"metadata": {"ownerReferences": None}})
            await live.until(lambda name=name: live.owner_names(name) == ["a"], f"the ownerReference of {name} is back")
        await live.edit("a", desiredState="Paused")
        await live.until_phase("Paused", "a", "b", "c")

    async def test_a_wrong_owner_reference_is_corrected(self, live: LiveInstances, parent_and_child: None) -> None:
        wrong = owner_reference(live, "stranger", controller=True)
        await live.patch("b", {"metadata": {"ownerReferences": [wrong]}})
        await live.until(lambda: live.owner_names("b") == ["a"], "the ownerReference is corrected")
        await live.patch("stranger", {"metadata": {"ownerReferences": [owner_reference(live, "a")]}})
        await live.until(lambda: live.owner_names("stranger") == [], "stranger, a root, has no ownerReference")

    async def test_owner_references_of_other_kinds_are_kept(self, live: LiveInstances, parent_and_child: None) -> None:
        maps = f"/api/v1/namespaces/{live.namespace}/configmaps"
        config_map = await live.request("POST", maps, {"metadata": {"name": "application"}})
        foreign = {"apiVersion": "v1", "kind": "ConfigMap", "name": "application", "uid": config_map["metadata"]["uid"]}
        await live.patch("b", {"metadata": {"ownerReferences": [foreign | {"controller": True}]}})
        await live.until(lambda: live.owner_names("b") == ["application", "a"], "the ConfigMap and a own b")
        assert live["b"]["metadata"]["ownerReferences"][1] == owner_reference(
            live, "a", controller=False, blockOwnerDeletion=True
        )
        await live.edit("b", parentRef=None)
        await live.until(lambda: live.owner_names("b") == ["application"], "only the ConfigMap owns b")

    async def test_finalizers_of_other_controllers_are_kept(self, live: LiveInstances, parent_and_child: None) -> None:
        await live.patch("a", {"metadata": {"finalizers": ["example.com/audit", FINALIZER]}})
        await live.delete("b")
        await live.until(
            lambda: live["a"]["metadata"].get("finalizers") == ["example.com/audit"],
            "only the finalizer of the other controller is left",
        )

    async def test_a_removed_finalizer_is_restored(self, live: LiveInstances, parent_and_child: None) -> None:
        await live.patch("a", {"metadata": {"finalizers": None}})
        await live.until(lambda: live["a"]["metadata"].get("finalizers") == [FINALIZER], "the finalizer is back")


class TestNamespaces:
    async def test_a_parent_is_found_only_in_the_same_namespace(self, live: LiveInstances, kubeconfig: str) -> None:
        """The operator serves two namespaces that use the same names."""
        async with fresh_namespace() as other, running_operator(live.namespace, other.namespace):
            await live.create_from(manifest("global", "Global"), manifest("web", "Project", "global"))
            await other.create("web", "Project", "global")
            await live.until_phase("Running", "global", "web")
            await other.until_reason("web", "HierarchyValid", "ParentNotFound")
            await live.edit("global", desiredState="Paused")
            await live.until_phase("Paused", "global", "web")
            await other.create("global", "Global")
            await other.until_phase("Running", "global", "web")


class TestInheritedConfiguration:
    async def test_a_child_cannot_exceed_the_limits_of_its_ancestors(
        self, live: LiveInstances, operator: Operator
    ) -> None:
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


def tree_of_50() -> list[tuple[str, str, str | None]]:
    """Return name, scope and parent of 50 instances of all scopes but Federated; parents come before children."""
    tree: list[tuple[str, str, str | None]] = [("global", "Global", None)]
    tree += [(f"web-{n}", "Project", "global") for n in range(4)]
    tree += [(f"family-{n}", "Family", "global") for n in range(3)]
    tree += [(f"event-{n}", "Event", f"web-{n % 4}") for n in range(6)]
    tree += [(f"person-{n}", "Personal", f"family-{n % 3}") for n in range(6)]
    possible_parents = [name for name, scope, _ in tree if scope in ("Project", "Event", "Personal")]
    tree += [
        (f"worker-{n}", "Orchestration", possible_parents[n % len(possible_parents)]) for n in range(50 - len(tree))
    ]
    return tree


async def rejection(live: LiveInstances, body: dict[str, Any]) -> str | None:
    """Create an instance; return the error if the API server rejects it."""
    try:
        await live.create_from(body)
    except RefusedError as error:
        return str(error)
    return None


def notes(live: LiveInstances, name: str, reason: str) -> set[str]:
    return {event["note"] for event in live.events_of(name, reason)}
