"""Dependencies of a service on its siblings, as `dependsOn` in its template names them."""

from collections.abc import Callable, Iterator

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.api.template import HopperTemplate
from hopper.domain.lifecycle import STARTED
from hopper.domain.tree import Tree

TemplateOf = Callable[[HopperInstance], HopperTemplate | None]


def missing_dependencies(instance: HopperInstance, template: HopperTemplate, tree: Tree) -> tuple[str, ...]:
    """Return the dependencies that are not Running and Ready, each as a phrase with its name and state."""
    missing = []
    for name, sibling in _dependencies(instance, template, tree):
        if sibling is None:
            missing.append(f"{name}, which does not exist")
        elif not (sibling.status.is_ready and sibling.status.phase is Phase.RUNNING):
            missing.append(f"{sibling.name}, which is {sibling.status.phase}")
    return tuple(missing)


def may_wait_for_sibling(service: HopperInstance) -> bool:
    """Whether a service may wait for a dependency: its Ready condition says so, or is not written yet."""
    ready_reason = service.status.reason(ConditionType.READY)
    return service.status.phase not in STARTED and ready_reason in (None, Reason.DEPENDENCY_NOT_READY)


def find_dependency_cycle(instance: HopperInstance, template_of: TemplateOf, tree: Tree) -> tuple[str, ...]:
    """Return the names on a cycle of dependencies through the instance, with its own name first and last.

    A sibling that is starting or has started closes no cycle, because it no longer waits for its dependencies.
    """
    trails: list[tuple[str, ...]] = [(instance.name,)]
    seen = {instance.name}
    while trails:
        trail = trails.pop()
        service = tree.get(trail[-1])
        template = template_of(service) if service else None
        if service is None or template is None or service.status.phase in (Phase.STARTING, *STARTED):
            continue
        for _, sibling in _dependencies(service, template, tree):
            if sibling is not None and sibling.name == instance.name:
                return (*trail, instance.name)
            if sibling is not None and sibling.name not in seen:
                seen.add(sibling.name)
                trails.append((*trail, sibling.name))
    return ()


def _dependencies(
    instance: HopperInstance, template: HopperTemplate, tree: Tree
) -> Iterator[tuple[str, HopperInstance | None]]:
    """Yield each name in `dependsOn` with the sibling it refers to, if that exists.

    The name may be given with or without the name of the parent in front.
    """
    for name in template.spec.depends_on or ():
        candidates = (tree.get(f"{instance.parent_name}-{name}"), tree.get(name))
        siblings = (named for named in candidates if named and named.parent_name == instance.parent_name)
        sibling = next(siblings, None)
        if sibling is None or sibling.name != instance.name:
            yield name, sibling
