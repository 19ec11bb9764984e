"""What a service waits for: siblings that its template names in `dependsOn`, and circles among them."""

from collections.abc import Callable, Iterator

from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.api.template import HopperTemplate
from hopper.domain.hierarchy import Tree
from hopper.domain.lifecycle import STARTED

TemplateOf = Callable[[HopperInstance], HopperTemplate | None]


def missing_dependencies(instance: HopperInstance, template: HopperTemplate, tree: Tree) -> tuple[str, ...]:
    """Name the siblings that the template depends on and that are not Running and Ready, and say how they are."""
    missing = []
    for name, sibling in _dependencies(instance, template, tree):
        if sibling is None:
            missing.append(f"{name}, which does not exist")
        elif not (sibling.status.is_ready and sibling.status.phase is Phase.RUNNING):
            missing.append(f"{sibling.name}, which is {sibling.status.phase}")
    return tuple(missing)


def find_dependency_cycle(instance: HopperInstance, template_of: TemplateOf, tree: Tree) -> tuple[str, ...]:
    """Return the names on a cycle of siblings that all wait to start, the first one repeated at the end; else nothing.

    Who is on its way already does not wait for the others any more.
    """
    trails: list[tuple[str, ...]] = [(instance.name,)]
    seen = {instance.name}
    while trails:
        names = trails.pop()
        waiting = tree.get(names[-1])
        template = template_of(waiting) if waiting else None
        if waiting is None or template is None or waiting.status.phase in (Phase.STARTING, *STARTED):
            continue
        for _, sibling in _dependencies(waiting, template, tree):
            if sibling is not None and sibling.name == instance.name:
                return (*names, instance.name)
            if sibling is not None and sibling.name not in seen:
                seen.add(sibling.name)
                trails.append((*names, sibling.name))
    return ()


def _dependencies(
    instance: HopperInstance, template: HopperTemplate, tree: Tree
) -> Iterator[tuple[str, HopperInstance | None]]:
    """Yield what is named in `dependsOn`, which may leave out the parent's name, and the sibling of that name."""
    for name in template.spec.depends_on or ():
        candidates = (tree.get(f"{instance.parent_name}-{name}"), tree.get(name))
        sibling = next((it for it in candidates if it and it.parent_name == instance.parent_name), None)
        if sibling is None or sibling.name != instance.name:
            yield name, sibling
