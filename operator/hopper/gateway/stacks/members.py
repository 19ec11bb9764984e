"""Who belongs to a stack, and what its members are called."""

from collections.abc import Iterator

from hopper.api.enums import Scope
from hopper.api.instance import HopperInstance
from hopper.domain.actions import is_alive
from hopper.domain.hierarchy import parent_link
from hopper.domain.lifecycle import STARTED
from hopper.domain.renaming import takeover_of
from hopper.domain.service.naming import NameConflicts, ObjectNames, name_objects
from hopper.gateway.access import Access
from hopper.gateway.http.errors import MissingError, invalid_field
from hopper.gateway.views.reads import lookup
from hopper.registry import NamespaceIndex

_LONGEST = 63


def find_stack(access: Access, identity: str, *, active: bool = False) -> HopperInstance:
    """Return the stack of that name or uid. Raises `MissingError`; also for one that does not run, if it has to."""
    found = lookup(access.index, identity)
    if found is None or found.spec.scope is not Scope.PROJECT or not is_alive(found):
        raise MissingError(f"Stack {identity} not found: there is no Project of that name")
    if active and found.status.phase not in STARTED:
        raise MissingError(f"Stack {found.name} is not active: it is {found.status.phase}, start it first")
    return found


def instances_of(access: Access, stack: HopperInstance) -> list[HopperInstance]:
    """Return the instances of a stack, oldest first."""
    found = (it for it in access.index.services(stack.name) if _belongs(it, stack, access.index))
    return sorted(found, key=lambda it: (it.metadata.creation_timestamp, it.name))


def find_instance(access: Access, stack: HopperInstance, identity: str) -> HopperInstance:
    """Return an instance of a stack by its name there, its id or its uid. Raises `MissingError`."""
    found = lookup_instance(access, stack, identity)
    if found is not None:
        return found
    if after := successor_in(access, stack, identity):
        raise MissingError(f"Instance {identity} of stack {stack.name} is now {instance_id(after, stack)}")
    raise MissingError(f"Instance {identity} of stack {stack.name} not found")


def lookup_instance(access: Access, stack: HopperInstance, identity: str) -> HopperInstance | None:
    """Return an instance of a stack, None where there is none."""
    candidates = _candidates(access.index, stack, identity)
    return next((it for it in candidates if _belongs(it, stack, access.index)), None)


def successor_in(access: Access, stack: HopperInstance, identity: str) -> HopperInstance | None:
    """Return what the one of that name is called now, where it is not there because it was renamed."""
    for before in _candidates(access.index, stack, identity):
        if before.parent_name == stack.name and (after := renamed_to(before, access.index)):
            return after
    for name in (object_name(stack, identity), identity):
        for heir in access.index.successors(name):
            if heir.status.predecessor and _belongs(heir, stack, access.index):
                return heir
    return None


def _candidates(index: NamespaceIndex, stack: HopperInstance, identity: str) -> Iterator[HopperInstance]:
    for found in (index.get(object_name(stack, identity)), lookup(index, identity)):
        if found is not None:
            yield found


def _belongs(instance: HopperInstance, stack: HopperInstance, index: NamespaceIndex) -> bool:
    return (
        instance.parent_name == stack.name
        and instance.spec.template_ref is not None
        and instance.spec.scope is Scope.ORCHESTRATION
        and is_alive(instance)
        and renamed_to(instance, index) is None
    )


def renamed_to(instance: HopperInstance, index: NamespaceIndex) -> HopperInstance | None:
    """Return who takes over from an instance: from then on there is only the new name."""
    for newcomer in index.successors(instance.name):
        takeover = takeover_of(newcomer, index)
        if takeover is None or takeover.predecessor is None or takeover.refusal is not None:
            continue
        if takeover.predecessor.metadata.uid == instance.metadata.uid:
            return newcomer
    return None


def object_name(stack: HopperInstance, name: str) -> str:
    """Return the name of the object behind an instance of a stack."""
    return f"{stack.name}-{name}"


def checked_name(stack: HopperInstance, name: str) -> str:
    """Return the same. Raises `InvalidError` where that is too long."""
    full = object_name(stack, name)
    if len(full) > _LONGEST:
        raise invalid_field("instance_id", f"{full} is longer than {_LONGEST} characters: shorten it", "too_long")
    return full


def instance_id(instance: HopperInstance, stack: HopperInstance) -> str:
    """Return the name of an instance within its stack."""
    return instance.name.removeprefix(f"{stack.name}-")


def template_of(instance: HopperInstance) -> str:
    """Return the name of the template that an instance of a stack runs."""
    assert instance.spec.template_ref is not None, "without one it is not part of a stack"
    return instance.spec.template_ref.name


def names(access: Access, instance: HopperInstance) -> ObjectNames:
    """Return what belongs to an instance is called, by the same rules as the operator."""
    index, prefix = access.index, access.context.settings.prefix
    return name_objects(
        instance, parent_link(instance, index).ancestors, template_of(instance), prefix, NameConflicts(index)
    )
