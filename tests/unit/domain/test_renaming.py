"""Renaming: which takeovers are refused, and that an interrupted takeover loses nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from random import Random
from typing import Any

import pytest

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import HopperInstance, InstanceStatus, RenamedFrom
from hopper.api.model import NameRef
from hopper.domain.lifecycle import FINAL, TARGET_PHASE
from hopper.domain.observed import Observed, Runtime
from hopper.domain.plan import Plan
from hopper.domain.planner import plan
from hopper.domain.renaming import takeover_of
from tests.unit.domain.plan_invariants import PlanInvariants, assert_at_rest
from tests.unit.domain.sample_instances import InMemoryTree, instance, owned_by, transition_entry
from tests.unit.domain.simulated_namespace import Pods, SimulatedNamespace

Claim = dict[str, Any]
HISTORY = (transition_entry(Phase.CREATED, Phase.STARTING), transition_entry(Phase.STARTING, Phase.RUNNING))
GLOBAL = instance("global", Scope.GLOBAL, phase=Phase.RUNNING)
WEB = instance("web", Scope.PROJECT, phase=Phase.RUNNING)


def old(name: str = "web-a", **fields: Any) -> HopperInstance:
    fields = {"phase": Phase.RUNNING, "parent": WEB, "status": {"history": HISTORY, "restarts": 3}} | fields
    return instance(name, Scope.ORCHESTRATION, **fields)


def new(name: str = "web-b", before: str = "web-a", **fields: Any) -> HopperInstance:
    scope = fields.pop("scope", Scope.ORCHESTRATION)
    fields = {"phase": Phase.CREATED, "parent": WEB, "renamed_from": RenamedFrom(name=before)} | fields
    return instance(name, scope, **fields)


def begun(successor: HopperInstance, uid: str = "uid-web-a") -> HopperInstance:
    return replace(successor, status=replace(successor.status, predecessor=uid))


REFUSALS = {
    "another scope": (old(), new(scope=Scope.EVENT), (), "has scope Orchestration"),
    "another parent": (old(parent="mail"), new(), (), 'is a child of "mail"'),
    "no parent": (
        instance("web-a", phase=Phase.RUNNING),
        new(scope=Scope.PROJECT, parent="global"),
        (GLOBAL,),
        "has no parent",
    ),
    "children": (old(), new(), (instance("x", Scope.EVENT, parent="web-a"),), "has children (x)"),
    "protection": (old(deletion_protection=True), new(), (), "is protected"),
    "a cycle": (new("web-a", "web-b"), new(), (), "waits to take over from this instance"),
    "an older successor": (old(), new(age=10), (new("web-c", age=20),), '"web-c" already takes over from "web-a"'),
    "a successor of the same age with a smaller name": (old(), new(), (new("web-aa"),), '"web-aa" already takes over'),
    "a successor that has begun": (old(), new(age=20), (begun(new("web-c", age=10)),), '"web-c" already takes over'),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refused_takeover_gives_the_reason_and_stops_nothing(case: str) -> None:
    predecessor, successor, others, why = REFUSALS[case]
    namespace = RenamingNamespace(WEB, *others)
    namespace.place(WEB, predecessor, successor, *others)
    found = takeover_of(successor, namespace)
    assert found is not None
    assert found.refusal is not None
    assert why in found.refusal
    decided = plan(namespace.observe("web-b"))
    assert not decided.transitions
    assert decided.objects.patch == ()
    assert decided.status is not None
    assert decided.status.predecessor is None
    assert {entry.type: entry.reason for entry in decided.status.conditions}[
        ConditionType.STALLED
    ] == Reason.RENAME_REFUSED
    assert namespace.observe("web-a").successor is None or "has begun" in case


class TestWithoutPredecessor:
    def test_a_successor_starts_like_any_other_instance(self) -> None:
        assert takeover_of(new(), InMemoryTree([WEB])) is None

    @pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.CREATED])
    def test_an_instance_that_has_left_created_takes_over_from_nothing(self, phase: Phase) -> None:
        """An instance that a tool has created again under the old name is a different one."""
        namespace = RenamingNamespace()
        namespace.place(WEB, old(), begun(new(phase=phase), "uid-before"))
        assert namespace.observe("web-b").takeover is None
        assert namespace.observe("web-a").successor is None

    def test_a_new_instance_with_the_old_name_is_left_alone(self) -> None:
        namespace = RenamingNamespace()
        namespace.place(WEB, old(), begun(new(), "uid-before"))
        assert namespace.observe("web-b").takeover is None
        assert namespace.observe("web-a").successor is None

    def test_a_predecessor_is_replaced_only_once(self) -> None:
        heir = begun(new("web-c", phase=Phase.RUNNING))
        found = takeover_of(new(), InMemoryTree([WEB, heir, new()]))
        assert found is not None
        assert found.refusal == 'spec.renamedFrom.name: "web-a" was already renamed to "web-c"; delete this instance'

    def test_the_older_of_two_simultaneous_successors_wins(self) -> None:
        older, younger = begun(new("web-c", age=20)), begun(new(age=10))
        tree = InMemoryTree([WEB, older, younger])
        assert takeover_of(older, tree) is None
        assert takeover_of(younger, tree) is not None

    def test_only_one_of_two_simultaneous_successors_copies_the_history(self) -> None:
        """Otherwise both would start when the predecessor is gone."""
        namespace = RenamingNamespace()
        namespace.place(WEB, old(phase=Phase.STOPPED), begun(new("web-c", age=20)), begun(new(age=10)))
        decided = {name: plan(namespace.observe(name)).status for name in ("web-b", "web-c")}
        assert {name: status and status.phase for name, status in decided.items()} == {
            "web-b": Phase.CREATED,
            "web-c": Phase.STOPPED,
        }

    def test_a_refused_successor_does_not_compete(self) -> None:
        unfit = new("web-c", parent="mail", age=9999)
        found = takeover_of(new(), InMemoryTree([WEB, old(), unfit, new()]))
        assert found is not None
        assert found.refusal is None


def test_a_takeover_begins_only_when_the_successor_can_start() -> None:
    """Otherwise the predecessor would stop for a successor that cannot start."""
    namespace = RenamingNamespace()
    namespace.place(replace(WEB, status=InstanceStatus()), old(), new())
    decided = plan(namespace.observe("web-b"))
    assert decided.status is None or decided.status.predecessor is None
    namespace.place(WEB)
    decided = plan(namespace.observe("web-b"))
    assert decided.status is not None
    assert decided.status.predecessor == "uid-web-a"


def test_claims_keep_the_prefix_of_the_first_name() -> None:
    namespace = RenamingNamespace()
    named = {"workload_name": "hopper-web-a", "history": HISTORY, "restarts": 3}
    namespace.place(WEB, new())
    namespace.place(old(status=named), claims=True)
    namespace.settle()
    assert namespace["web-b"].status.claim_prefix == "hopper-web-a"
    namespace.place(replace(new("web-c", "web-b"), status=InstanceStatus()))
    namespace.settle()
    assert set(namespace.instances) == {"web", "web-c"}
    assert namespace["web-c"].status.claim_prefix == "hopper-web-a"


def test_the_successor_gets_the_slot_of_its_predecessor() -> None:
    limit = instance("web", phase=Phase.RUNNING, config={"limits": {"maxChildInstances": 1}})
    namespace = RenamingNamespace()
    namespace.place(limit, old(parent=limit), new(parent="web"))
    namespace.settle()
    assert namespace.phases() == {"web": Phase.RUNNING, "web-b": Phase.RUNNING}


def test_a_takeover_waits_for_a_predecessor_that_is_protected_later() -> None:
    namespace = RenamingNamespace()
    namespace.place(WEB, old(), begun(new()))
    namespace.edit("web-a", deletion_protection=True)
    namespace.settle()
    assert namespace.phases()["web-a"] is Phase.STOPPED
    ready = namespace["web-b"].status.condition(ConditionType.READY)
    assert ready is not None
    assert "is protected from deletion; set its spec.deletionProtection to false" in ready.message
    namespace.edit("web-a", deletion_protection=False)
    namespace.settle()
    assert namespace.phases() == {"web": Phase.RUNNING, "web-b": Phase.RUNNING}


class RenamingNamespace(SimulatedNamespace):
    """Simulated namespace with claims that can change owners, and with an operator that may crash between writes."""

    def __init__(self, *instances: HopperInstance, crashes: Random | None = None) -> None:
        super().__init__(*instances)
        self.claims: dict[str, Claim] = {}
        self.crashes = crashes
        PlanInvariants(self)

    def place(self, *instances: HopperInstance, claims: bool = False) -> None:
        """Store instances as they are, with their status and optionally one claim each."""
        for member in instances:
            self._put(member)
            if claims:
                owner = owned_by(member)
                reference = {"name": owner.name, "uid": owner.uid, "controller": True}
                self.claims[f"{member.name}-data"] = claim_of([reference])

    def observe(self, name: str) -> Observed:
        observed = super().observe(name)
        renamed = self[name].spec.renamed_from
        takeover = None
        if renamed is not None:
            before, pods = self.get(renamed.name), self.pods.get(renamed.name, Pods())
            theirs = self.controlled_by(before) if before else {}
            takeover = takeover_of(self[name], self, pods=pods.state != "absent", claims=tuple(theirs.values()))
        own = {("PersistentVolumeClaim", key): claim for key, claim in self.controlled_by(self[name]).items()}
        return replace(observed, takeover=takeover, runtime=Runtime(owned=own) if own else None)

    def controlled_by(self, member: HopperInstance) -> dict[str, Claim]:
        return {key: claim for key, claim in self.claims.items() if controller(claim) == member.metadata.uid}

    def _carry_out(self, before: HopperInstance, decided: Plan) -> bool:
        for live, change in decided.objects.patch:
            key = next(key for key, claim in self.claims.items() if claim is live)
            self.claims[key] = claim_of(change["metadata"]["ownerReferences"])
        if self.crashes and self.crashes.random() < 0.4:
            return True  # crash: the objects are changed, the status is not
        return super()._carry_out(before, decided) or bool(decided.objects.patch)

    def act_once(self, order: Random | None = None) -> bool:
        acted = super().act_once(order)
        for name in self.pods.keys() - self.instances.keys():
            acted |= self.pods[name].step(Phase.STOPPED)  # garbage collection
        return acted

    def on_change(self, old: HopperInstance | None, new: HopperInstance | None) -> None:
        if new is None:
            alive = {member.metadata.uid for member in self.instances.values()}
            for key, claim in list(self.claims.items()):
                owners = [owner for owner in claim["metadata"]["ownerReferences"] if owner["uid"] in alive]
                self.claims[key] = claim_of(owners)
                if not owners:
                    del self.claims[key]


def claim_of(owners: list[dict[str, Any]]) -> Claim:
    return {"kind": "PersistentVolumeClaim", "metadata": {"ownerReferences": owners}}


def controller(claim: Claim) -> str | None:
    return next((owner["uid"] for owner in claim["metadata"]["ownerReferences"] if owner.get("controller")), None)


def at_most_one_instance_has_pods(namespace: SimulatedNamespace, before: HopperInstance, decided: Plan) -> None:
    up = [name for name, pods in namespace.pods.items() if pods.state != "absent"]
    assert len(up) <= 1, f"both have pods: {up}"


def renaming(phase: Phase, was: DesiredState, wanted: DesiredState, crashes: Random | None = None) -> RenamingNamespace:
    """Return a namespace in which `web-a`, in that phase, shall be renamed to `web-b`."""
    namespace = RenamingNamespace(crashes=crashes)
    namespace.place(WEB)
    namespace.place(old(phase=phase, desired=was), claims=True)
    namespace.place(new(desired=wanted, phase=None))
    runs = phase not in (Phase.CREATED, Phase.STOPPED, Phase.ARCHIVED, Phase.TERMINATED)
    namespace.pods = {"web-a": Pods("up" if runs else "absent"), "web-b": Pods()}
    namespace.step_checks.append(at_most_one_instance_has_pods)
    return namespace


ALL = list(product(Phase, DesiredState, DesiredState))


@pytest.mark.parametrize("seed", range(3))
def test_every_renaming_ends_in_the_desired_state_of_the_successor(seed: int) -> None:
    """For every phase and desired state of the predecessor, in random orders, with and without crashes."""
    for phase, was, wanted in ALL:
        order = Random(f"{seed} {phase} {was} {wanted}")
        namespace = renaming(phase, was, wanted, crashes=order if seed else None)
        namespace.settle(order)
        try:
            assert_renamed(namespace, phase, was, wanted)
        except AssertionError as error:
            raise AssertionError(f"{phase} {was} → {wanted}: {error}\n{namespace.describe()}") from error


def assert_renamed(namespace: RenamingNamespace, phase: Phase, was: DesiredState, wanted: DesiredState) -> None:
    subject = namespace["web-b"]
    if wanted is DesiredState.TERMINATED:  # the takeover never begins, and the predecessor continues
        assert subject.status.phase is Phase.TERMINATED
        assert controller(namespace.claims["web-a-data"]) == "uid-web-a"
        return
    assert set(namespace.instances) == {"web", "web-b"}
    ended = phase in FINAL or was in (DesiredState.ARCHIVED, DesiredState.TERMINATED)
    if not (ended and subject.status.phase in FINAL):  # a rename does not bring a final instance back
        assert_at_rest(namespace)
        assert subject.status.phase is TARGET_PHASE[wanted]
    assert subject.status.history[: len(HISTORY)] == HISTORY
    for before, after in pairwise(subject.status.history[len(HISTORY) :]):
        assert before.to is after.from_, "the history continues"
    assert subject.status.restarts >= 3, "an instance in Error may have restarted before"
    assert [owner["uid"] for owner in namespace.claims["web-a-data"]["metadata"]["ownerReferences"]] == [
        subject.metadata.uid
    ]


@pytest.mark.parametrize("deleted", ["web-a", "web-b"])
def test_the_data_survives_the_deletion_of_either_instance(deleted: str) -> None:
    """For example when a tool prunes the predecessor, or a user deletes the successor, during the takeover."""
    for steps, seed in product(range(12), range(5)):
        namespace = renaming(Phase.RUNNING, DesiredState.RUNNING, DesiredState.RUNNING)
        order = Random(seed)
        for _ in range(steps):
            namespace.act_once(order)
        if "web-a" not in namespace.instances or namespace["web-b"].status.phase is not Phase.CREATED:
            continue
        if deleted == "web-a" and controller(namespace.claims["web-a-data"]) == "uid-web-a":
            continue  # before the handover, its data is deleted with it as usual
        namespace.delete(deleted)
        namespace.settle(order)
        left = "web-b" if deleted == "web-a" else "web-a"
        assert namespace.phases() == {"web": Phase.RUNNING, left: Phase.RUNNING}
        assert namespace.claims["web-a-data"]["metadata"]["ownerReferences"]


def test_a_successor_terminated_during_the_takeover_completes_it_first() -> None:
    namespace = renaming(Phase.RUNNING, DesiredState.RUNNING, DesiredState.RUNNING)
    while namespace["web-b"].status.predecessor is None:
        namespace.act_once()
    namespace.edit("web-b", desired_state=DesiredState.TERMINATED)
    namespace.settle()
    assert namespace.phases() == {"web": Phase.RUNNING, "web-b": Phase.TERMINATED}
    assert controller(namespace.claims["web-a-data"]) == namespace["web-b"].metadata.uid


def test_a_chain_of_renames_completes() -> None:
    namespace = renaming(Phase.RUNNING, DesiredState.RUNNING, DesiredState.RUNNING)
    namespace.place(new("web-c", "web-b", phase=None))
    namespace.pods["web-c"] = Pods()
    namespace.settle(Random(1))
    assert namespace.phases() == {"web": Phase.RUNNING, "web-c": Phase.RUNNING}
    assert namespace["web-c"].status.restarts == 3


def test_a_successor_may_use_another_template() -> None:
    """Only `spec.renamedFrom` matters."""
    namespace = renaming(Phase.RUNNING, DesiredState.RUNNING, DesiredState.RUNNING)
    namespace.edit("web-b", template_ref=NameRef(name="other"))
    namespace.settle()
    assert set(namespace.instances) == {"web", "web-b"}
