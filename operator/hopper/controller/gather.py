"""Gather: everything that one decision needs, from memory into one frozen record."""

from dataclasses import replace
from datetime import datetime

from hopper.api.conditions import ConditionType, Reason
from hopper.api.instance import HopperInstance
from hopper.api.scopes import allowed_children
from hopper.controller.runtime import RuntimeGatherer
from hopper.domain.config import config_problems
from hopper.domain.heartbeat import NOTHING, Heard
from hopper.domain.hierarchy import Tree, effective_state, judge
from hopper.domain.lifecycle import UP
from hopper.domain.observed import Children, Observed
from hopper.domain.renaming import held_down, successor_of


def gather(
    instance: HopperInstance,
    tree: Tree,
    runtimes: RuntimeGatherer,
    now: datetime,
    *,
    heard: Heard = NOTHING,
    spec_problems: tuple[str, ...] = (),
) -> Observed:
    """Observe one instance within its namespace."""
    link, successor = judge(instance, tree), successor_of(instance, tree)
    observed = Observed(
        now=now,
        instance=instance,
        link=link,
        effective=held_down(effective_state(instance, link.ancestors), instance, successor),
        successor=successor,
        takeover=runtimes.takeover(instance, tree),
        children=_children(instance, tree),
        heard=heard,
        spec_problems=spec_problems,
        config_problems=config_problems(instance),
    )
    found = runtimes.gather(instance, link.ancestors, tree, now)
    return replace(observed, runtime=found[0], workload=found[1]) if found else observed


def _children(instance: HopperInstance, tree: Tree) -> Children:
    named, owned = tree.children(instance.name), tree.dependents(instance.metadata.uid)
    if not named and not owned:
        return Children()
    fitting = allowed_children(instance.spec.scope)
    return Children(
        total=len(owned),
        ready=sum(child.status.is_ready for child in owned),
        up=tuple(child.name for child in owned if child.status.phase in UP),
        protected=tuple(child.name for child in owned if child.spec.deletion_protection),
        blocked=tuple(child.name for child in owned if _waits_for_the_protected(child)),
        expected=any(child.spec.scope in fitting for child in named),
    )


def _waits_for_the_protected(child: HopperInstance) -> bool:
    ready = child.status.condition(ConditionType.READY)
    return not child.spec.deletion_protection and ready is not None and ready.reason == Reason.DELETION_BLOCKED
