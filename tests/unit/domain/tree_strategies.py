"""Hypothesis strategies for trees and for edits to their instances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from hypothesis import strategies as st

from hopper.api.config import InstanceConfig, Limits
from hopper.api.enums import DesiredState, Scope
from hopper.api.instance import HopperInstance
from hopper.api.model import NameRef
from tests.unit.domain.sample_instances import NOW, instance, seconds
from tests.unit.domain.simulated_namespace import Cascade, SimulatedNamespace

# Allowed children of each scope, as far as these trees use them; test_hierarchy.py holds the whole matrix.
BELOW = {
    None: (Scope.PROJECT, Scope.FAMILY, Scope.PERSONAL, Scope.EVENT, Scope.FEDERATED),
    Scope.GLOBAL: (Scope.PROJECT, Scope.FAMILY, Scope.PERSONAL, Scope.EVENT, Scope.FEDERATED),
    Scope.PROJECT: (Scope.EVENT, Scope.ORCHESTRATION, Scope.ORCHESTRATION),
    Scope.FAMILY: (Scope.PERSONAL, Scope.EVENT, Scope.ORCHESTRATION),
    Scope.PERSONAL: (Scope.ORCHESTRATION,),
    Scope.EVENT: (Scope.ORCHESTRATION,),
    Scope.FEDERATED: (),
    Scope.ORCHESTRATION: (),
}
COMING_AND_GOING = (DesiredState.RUNNING, DesiredState.PAUSED, DesiredState.STOPPED)

Tree = tuple[HopperInstance, ...]
CASCADES: tuple[Cascade, ...] = ("background", "foreground")


@st.composite
def trees(draw: st.DrawFn, states: tuple[DesiredState, ...] = COMING_AND_GOING, smallest: int = 1) -> Tree:
    """Draw the specs of valid trees in one namespace, parents first."""
    count = draw(st.integers(smallest, 9))
    made: dict[str | None, Scope | None] = {None: None}
    tree = []
    if draw(st.booleans()):
        made["global"] = Scope.GLOBAL
        tree.append(instance("global", Scope.GLOBAL, desired=draw(st.sampled_from(states))))
    for number in range(count):
        parent = draw(st.sampled_from([name for name, scope in made.items() if BELOW[scope]]))
        scope = draw(st.sampled_from(BELOW[made[parent]]))
        made[f"n{number}"] = scope
        tree.append(instance(f"n{number}", scope, parent=parent, desired=draw(st.sampled_from(states))))
    return tuple(tree)


orders = st.integers(0, 2**32).map(Random)


@st.composite
def two_trees_of_the_same_instances(draw: st.DrawFn) -> tuple[Tree, Tree]:
    """Draw valid trees, and other valid trees of the same instances; scopes cannot change."""
    tree = draw(trees(smallest=3))
    moved: list[HopperInstance] = []
    for member in tree:
        possible_parents = [
            new_parent.name for new_parent in moved if member.spec.scope in BELOW[new_parent.spec.scope]
        ]
        choices: list[str | None] = [
            *possible_parents,
            *([None] if member.spec.scope in (*BELOW[None], Scope.GLOBAL) else []),
        ]
        new_parent = draw(st.sampled_from(choices))
        spec = replace(
            member.spec,
            parent_ref=NameRef(name=new_parent) if new_parent else None,
            desired_state=draw(st.sampled_from(COMING_AND_GOING)),
        )
        moved.append(replace(member, spec=spec))
    return tree, tuple(moved)


@dataclass(frozen=True)
class Edit:
    """Event in the life of one instance: an edit, a reconcile or the removal of its ownerReferences."""

    verb: str
    name: str
    value: Any = None

    def apply_to(self, namespace: SimulatedNamespace) -> None:
        match self.verb:
            case "look" if self.name in namespace.instances:
                namespace.reconcile(self.name)
            case "strip" if self.name in namespace.instances:
                namespace.strip_owner_references(self.name)
            case "edit" if self.name in namespace.instances:
                namespace.edit(self.name, **self.value)


@st.composite
def edits(draw: st.DrawFn, tree: Tree, most: int = 20) -> list[Edit]:
    """Draw edits that admission allows, valid or not, with reconciles in between."""
    names = [member.name for member in tree]
    somewhere = [NameRef(name=name) for name in (*names, "nowhere")]
    changes = st.one_of(
        st.sampled_from(COMING_AND_GOING).map(lambda state: {"desired_state": state}),
        st.sampled_from([None, *somewhere]).map(lambda parent: {"parent_ref": parent}),
        st.integers(0, 3).map(lambda when: {"restarted_at": NOW + seconds(when)}),
        st.sampled_from([None, Limits(max_child_instances=1), Limits(max_depth=1), Limits(max_concurrent_tasks=1)]).map(
            lambda limits: {"config": limits and InstanceConfig(limits=limits)}
        ),
    )
    name = st.sampled_from(names)
    edit = st.builds(Edit, st.just("edit"), name, changes)
    strip_owner_references = st.builds(Edit, st.just("strip"), name)
    look = st.builds(Edit, st.just("look"), name)
    return draw(st.lists(st.one_of(edit, look, edit, look, strip_owner_references), max_size=most))
