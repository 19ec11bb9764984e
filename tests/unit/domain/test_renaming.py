"""Renaming: who may take over from whom, and that nothing is lost on the way, whenever it is cut short."""

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
from tests.unit.domain.plan_invariants import Promises, assert_at_rest
from tests.unit.domain.sample_instances import Forest, instance, owned_by, transition_entry
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


def begun(newcomer: HopperInstance, uid: str = "uid-web-a") -> HopperInstance:
    return replace(newcomer, status=replace(newcomer.status, predecessor=uid))


REFUSED = {
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
    "an older one": (old(), new(age=10), (new("web-c", age=20),), '"web-c" already takes over from "web-a"'),
    "as old, by name": (old(), new(), (new("web-aa"),), '"web-aa" already takes over'),
    "one that has begun": (old(), new(age=20), (begun(new("web-c", age=10)),), '"web-c" already takes over'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_why_and_stops_nobody(case: str) -> None:
    predecessor, newcomer, others, why = REFUSED[case]
    world = RenamingWorld(WEB, *others)
    world.place(WEB, predecessor, newcomer, *others)
    found = takeover_of(newcomer, world)
    assert found is not None
    assert found.refusal is not None
    assert why in found.refusal
    decided = plan(world.observe("web-b"))
    assert not decided.transitions
    assert decided.objects.patch == ()
    assert decided.status is not None
    assert decided.status.predecessor is None
    assert {it.type: it.reason for it in decided.status.conditions}[ConditionType.STALLED] == Reason.RENAME_REFUSED
    assert world.observe("web-a").successor is None or "begun" in case


class TestNobodyToReplace:
    def test_starts_as_any_other(self) -> None:
        assert takeover_of(new(), Forest([WEB])) is None

    @pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.CREATED])
    def test_who_has_left_created_replaces_nobody(self, phase: Phase) -> None:
        """A new instance of the earlier name, perhaps brought back by a tool, is a different one."""
        world = RenamingWorld()
        world.place(WEB, old(), begun(new(phase=phase), "uid-before"))
        assert world.observe("web-b").takeover is None
        assert world.observe("web-a").successor is None

    def test_another_one_of_that_name_is_left_alone(self) -> None:
        world = RenamingWorld()
        world.place(WEB, old(), begun(new(), "uid-before"))
        assert world.observe("web-b").takeover is None
        assert world.observe("web-a").successor is None

    def test_what_was_taken_over_cannot_be_taken_again(self) -> None:
        heir = begun(new("web-c", phase=Phase.RUNNING))
        found = takeover_of(new(), Forest([WEB, heir, new()]))
        assert found is not None
        assert found.refusal == 'spec.renamedFrom.name: "web-a" was already renamed to "web-c"; delete this instance'

    def test_of_two_that_began_in_one_moment_the_older_goes_on(self) -> None:
        older, younger = begun(new("web-c", age=20)), begun(new(age=10))
        tree = Forest([WEB, older, younger])
        assert takeover_of(older, tree) is None
        assert takeover_of(younger, tree) is not None

    def test_of_two_that_began_in_one_moment_only_one_inherits(self) -> None:
        """Else both would leave Created, and start when the old one is gone."""
        world = RenamingWorld()
        world.place(WEB, old(phase=Phase.STOPPED), begun(new("web-c", age=20)), begun(new(age=10)))
        decided = {name: plan(world.observe(name)).status for name in ("web-b", "web-c")}
        assert {name: it and it.phase for name, it in decided.items()} == {
            "web-b": Phase.CREATED,
            "web-c": Phase.STOPPED,
        }

    def test_a_refused_rival_is_no_rival(self) -> None:
        unfit = new("web-c", parent="mail", age=9999)
        found = takeover_of(new(), Forest([WEB, old(), unfit, new()]))
        assert found is not None
        assert found.refusal is None


def test_it_begins_only_when_nothing_else_is_in_the_way() -> None:
    """Otherwise the old one would stop for one that cannot start."""
    world = RenamingWorld()
    world.place(replace(WEB, status=InstanceStatus()), old(), new())
    decided = plan(world.observe("web-b"))
    assert decided.status is None or decided.status.predecessor is None
    world.place(WEB)
    decided = plan(world.observe("web-b"))
    assert decided.status is not None
    assert decided.status.predecessor == "uid-web-a"


def test_the_claims_keep_the_prefix_of_the_first_name() -> None:
    world = RenamingWorld()
    named = {"workload_name": "hopper-web-a", "history": HISTORY, "restarts": 3}
    world.place(WEB, new())
    world.place(old(status=named), claims=True)
    world.settle()
    assert world["web-b"].status.claim_prefix == "hopper-web-a"
    world.place(replace(new("web-c", "web-b"), status=InstanceStatus()))
    world.settle()
    assert set(world.instances) == {"web", "web-c"}
    assert world["web-c"].status.claim_prefix == "hopper-web-a"


def test_the_last_seat_is_handed_on() -> None:
    limit = instance("web", phase=Phase.RUNNING, config={"limits": {"maxChildInstances": 1}})
    world = RenamingWorld()
    world.place(limit, old(parent=limit), new(parent="web"))
    world.settle()
    assert world.phases() == {"web": Phase.RUNNING, "web-b": Phase.RUNNING}


def test_a_protection_that_comes_late_is_waited_for() -> None:
    world = RenamingWorld()
    world.place(WEB, old(), begun(new()))
    world.edit("web-a", deletion_protection=True)
    world.settle()
    assert world.phases()["web-a"] is Phase.STOPPED
    ready = world["web-b"].status.condition(ConditionType.READY)
    assert ready is not None
    assert "is protected from deletion; set its spec.deletionProtection to false" in ready.message
    world.edit("web-a", deletion_protection=False)
    world.settle()
    assert world.phases() == {"web": Phase.RUNNING, "web-b": Phase.RUNNING}


class RenamingWorld(SimulatedNamespace):
    """A world in which instances have a claim each, which outlives whom it belonged to, and crashes happen.

    What a real cluster guarantees is checked at every step: never two with pods, and every claim has an owner.
    """

    def __init__(self, *instances: HopperInstance, crashes: Random | None = None) -> None:
        super().__init__(*instances)
        self.claims: dict[str, Claim] = {}
        self.crashes = crashes
        Promises(self)

    def place(self, *instances: HopperInstance, claims: bool = False) -> None:
        """Put instances in as they are, with their status."""
        for one in instances:
            self._put(one)
            if claims:
                owner = owned_by(one)
                reference = {"name": owner.name, "uid": owner.uid, "controller": True}
                self.claims[f"{one.name}-data"] = claim_of([reference])

    def observe(self, name: str) -> Observed:
        observed = super().observe(name)
        renamed = self[name].spec.renamed_from
        takeover = None
        if renamed is not None:
            before, pods = self.get(renamed.name), self.pods.get(renamed.name, Pods())
            theirs = self.controlled_by(before) if before else {}
            takeover = takeover_of(self[name], self, pods=pods.are != "absent", claims=tuple(theirs.values()))
        own = {("PersistentVolumeClaim", key): claim for key, claim in self.controlled_by(self[name]).items()}
        return replace(observed, takeover=takeover, runtime=Runtime(owned=own) if own else None)

    def controlled_by(self, one: HopperInstance) -> dict[str, Claim]:
        return {key: it for key, it in self.claims.items() if controller(it) == one.metadata.uid}

    def _carry_out(self, before: HopperInstance, decided: Plan) -> bool:
        for live, change in decided.objects.patch:
            key = next(key for key, claim in self.claims.items() if claim is live)
            self.claims[key] = claim_of(change["metadata"]["ownerReferences"])
        if self.crashes and self.crashes.random() < 0.4:
            return True  # cut short: the next look finds the objects changed, the status not
        return super()._carry_out(before, decided) or bool(decided.objects.patch)

    def act_once(self, order: Random | None = None) -> bool:
        acted = super().act_once(order)
        for name in self.pods.keys() - self.instances.keys():
            acted |= self.pods[name].work(Phase.STOPPED)  # garbage collection
        return acted

    def changed(self, old: HopperInstance | None, new: HopperInstance | None) -> None:
        if new is None:
            alive = {one.metadata.uid for one in self.instances.values()}
            for key, claim in list(self.claims.items()):
                owners = [it for it in claim["metadata"]["ownerReferences"] if it["uid"] in alive]
                self.claims[key] = claim_of(owners)
                if not owners:
                    del self.claims[key]


def claim_of(owners: list[dict[str, Any]]) -> Claim:
    return {"kind": "PersistentVolumeClaim", "metadata": {"ownerReferences": owners}}


def controller(claim: Claim) -> str | None:
    return next((it["uid"] for it in claim["metadata"]["ownerReferences"] if it.get("controller")), None)


def never_two_with_pods(world: SimulatedNamespace, before: HopperInstance, decided: Plan) -> None:
    up = [name for name, pods in world.pods.items() if pods.are != "absent"]
    assert len(up) <= 1, f"both have pods: {up}"


def renaming(phase: Phase, was: DesiredState, wanted: DesiredState, crashes: Random | None = None) -> RenamingWorld:
    """A world in which `web-a`, in that phase, is to become `web-b`."""
    world = RenamingWorld(crashes=crashes)
    world.place(WEB)
    world.place(old(phase=phase, desired=was), claims=True)
    world.place(new(desired=wanted, phase=None))
    runs = phase not in (Phase.CREATED, Phase.STOPPED, Phase.ARCHIVED, Phase.TERMINATED)
    world.pods = {"web-a": Pods("up" if runs else "absent"), "web-b": Pods()}
    world.witnesses.append(never_two_with_pods)
    return world


ALL = list(product(Phase, DesiredState, DesiredState))


@pytest.mark.parametrize("seed", range(3))
def test_every_renaming_ends_where_the_newcomer_is_wanted(seed: int) -> None:
    """Whatever the old one does and wants, in any order of events, and cut short at any step."""
    for phase, was, wanted in ALL:
        order = Random(f"{seed} {phase} {was} {wanted}")
        world = renaming(phase, was, wanted, crashes=order if seed else None)
        world.settle(order)
        try:
            assert_renamed(world, phase, was, wanted)
        except AssertionError as error:
            raise AssertionError(f"{phase} {was} → {wanted}: {error}\n{world.describe()}") from error


def assert_renamed(world: RenamingWorld, phase: Phase, was: DesiredState, wanted: DesiredState) -> None:
    subject = world["web-b"]
    if wanted is DesiredState.TERMINATED:  # given up before it began: the old one goes on as it was
        assert subject.status.phase is Phase.TERMINATED
        assert controller(world.claims["web-a-data"]) == "uid-web-a"
        return
    assert set(world.instances) == {"web", "web-b"}
    ended = phase in FINAL or was in (DesiredState.ARCHIVED, DesiredState.TERMINATED)
    if not (ended and subject.status.phase in FINAL):  # a name alone changes: what has ended stays so
        assert_at_rest(world)
        assert subject.status.phase is TARGET_PHASE[wanted]
    assert subject.status.history[: len(HISTORY)] == HISTORY
    for one, two in pairwise(subject.status.history[len(HISTORY) :]):
        assert one.to is two.from_, "the history goes on where it was"
    assert subject.status.restarts >= 3, "one in Error may have been tried again before"
    assert [it["uid"] for it in world.claims["web-a-data"]["metadata"]["ownerReferences"]] == [subject.metadata.uid]


@pytest.mark.parametrize("who", ["web-a", "web-b"])
def test_whoever_is_deleted_on_the_way_the_data_is_kept(who: str) -> None:
    """At any step after the takeover has begun: a tool may prune the old one, or the user have second thoughts."""
    for steps, seed in product(range(12), range(5)):
        world = renaming(Phase.RUNNING, DesiredState.RUNNING, DesiredState.RUNNING)
        order = Random(seed)
        for _ in range(steps):
            world.act_once(order)
        if "web-a" not in world.instances or world["web-b"].status.phase is not Phase.CREATED:
            continue
        if who == "web-a" and controller(world.claims["web-a-data"]) == "uid-web-a":
            continue  # nothing was taken over yet: its data goes with it, as ever
        world.delete(who)
        world.settle(order)
        left = "web-b" if who == "web-a" else "web-a"
        assert world.phases() == {"web": Phase.RUNNING, left: Phase.RUNNING}
        assert world.claims["web-a-data"]["metadata"]["ownerReferences"]


def test_a_newcomer_that_is_terminated_on_the_way_finishes_first() -> None:
    world = renaming(Phase.RUNNING, DesiredState.RUNNING, DesiredState.RUNNING)
    while world["web-b"].status.predecessor is None:
        world.act_once()
    world.edit("web-b", desired_state=DesiredState.TERMINATED)
    world.settle()
    assert world.phases() == {"web": Phase.RUNNING, "web-b": Phase.TERMINATED}
    assert controller(world.claims["web-a-data"]) == world["web-b"].metadata.uid


def test_a_chain_of_names_gets_there() -> None:
    world = renaming(Phase.RUNNING, DesiredState.RUNNING, DesiredState.RUNNING)
    world.place(new("web-c", "web-b", phase=None))
    world.pods["web-c"] = Pods()
    world.settle(Random(1))
    assert world.phases() == {"web": Phase.RUNNING, "web-c": Phase.RUNNING}
    assert world["web-c"].status.restarts == 3


def test_a_service_depends_on_nothing_but_its_reference() -> None:
    """A newcomer may run another template: what counts is whom it names."""
    world = renaming(Phase.RUNNING, DesiredState.RUNNING, DesiredState.RUNNING)
    world.edit("web-b", template_ref=NameRef(name="other"))
    world.settle()
    assert set(world.instances) == {"web", "web-b"}
