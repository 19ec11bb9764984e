"""Gather: everything that one decision needs, from memory into one frozen record."""

from dataclasses import replace
from datetime import datetime

from hopper.api.instance import HopperInstance
from hopper.api.scopes import allowed_children
from hopper.controller.runtime import RuntimeGatherer
from hopper.domain.config import config_problems
from hopper.domain.hierarchy import Tree, effective_state, is_owned_by, judge
from hopper.domain.lifecycle import UP
from hopper.domain.observed import Children, Observed


def gather(
    instance: HopperInstance,
    tree: Tree,
    runtimes: RuntimeGatherer,
    now: datetime,
    *,
    spec_problems: tuple[str, ...] = (),
) -> Observed:
    """Observe one instance within its namespace."""
    link = judge(instance, tree)
    observed = Observed(
        now=now,
        instance=instance,
        link=link,
        effective=effective_state(instance, link.ancestors),
        children=_children(instance, tree),
        spec_problems=spec_problems,
        config_problems=config_problems(instance),
    )
    found = runtimes.gather(instance, link.ancestors, tree, now)
    return replace(observed, runtime=found[0], workload=found[1]) if found else observed


def _children(instance: HopperInstance, tree: Tree) -> Children:
    named = tree.children(instance.name)
    if not named:
        return Children()
    fitting = allowed_children(instance.spec.scope)
    owned = [child for child in named if is_owned_by(child, instance)]
    return Children(
        total=len(owned),
        ready=sum(child.status.is_ready for child in owned),
        up=tuple(child.name for child in owned if child.status.phase in UP),
        protected=tuple(child.name for child in owned if child.spec.deletion_protection),
        expected=any(child.spec.scope in fitting for child in named),
    )
