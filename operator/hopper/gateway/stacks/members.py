"""Members of a stack: lookups, and the names of members and of their objects."""

from collections.abc import Iterator

from hopper.api.enums import Scope
from hopper.api.instance import HopperInstance
from hopper.domain.actions import is_alive
from hopper.domain.hierarchy import parent_link
from hopper.domain.lifecycle import STARTED
from hopper.domain.renaming import takeover_of
from hopper.domain.service.naming import NameConflicts, ObjectNames, name_objects
from hopper.gateway.access import Access
from hopper.gateway.http.errors import HttpNotFoundError
from hopper.gateway.http.validation_errors import invalid_field
from hopper.gateway.intents.creation import MAX_NAME_LENGTH
from hopper.gateway.views.queries import find_instance
from hopper.registry import NamespaceIndex


def get_stack_or_404(access: Access, identity: str, *, active: bool = False) -> HopperInstance:
    """Return the stack with this name or uid. Raises `HttpNotFoundError`, with `active` also if it is not running."""
    stack = find_instance(access.index, identity)
    if stack is None or stack.spec.scope is not Scope.PROJECT or not is_alive(stack):
        raise HttpNotFoundError(f"Stack {identity} not found: no Project with this name or uid exists")
    if active and stack.status.phase not in STARTED:
        raise HttpNotFoundError(f"Stack {stack.name} is not active: its status is {stack.status.phase}; start it first")
    return stack


def members_of(access: Access, stack: HopperInstance) -> list[HopperInstance]:
    """Return the instances of a stack, oldest first."""
    members = (instance for instance in access.index.services(stack.name) if _is_member(instance, stack, access.index))
    return sorted(members, key=lambda member: (member.metadata.creation_timestamp, member.name))


def get_member_or_404(access: Access, stack: HopperInstance, identity: str) -> HopperInstance:
    """Return an instance of a stack by its name in the stack, its id or its uid. Raises `HttpNotFoundError`."""
    member = find_member(access, stack, identity)
    if member is not None:
        return member
    if successor := find_renamed(access, stack, identity):
        new_name = name_in_stack(successor, stack)
        raise HttpNotFoundError(f"Instance {identity} of stack {stack.name} has been renamed to {new_name}")
    raise HttpNotFoundError(f"Instance {identity} of stack {stack.name} not found")


def find_member(access: Access, stack: HopperInstance, identity: str) -> HopperInstance | None:
    """Return an instance of a stack, None if there is none."""
    candidates = _candidates(access.index, stack, identity)
    return next((instance for instance in candidates if _is_member(instance, stack, access.index)), None)


def find_renamed(access: Access, stack: HopperInstance, identity: str) -> HopperInstance | None:
    """Return the successor of a renamed instance by the old name, id or uid; None if it was not renamed."""
    for predecessor in _candidates(access.index, stack, identity):
        if predecessor.parent_name == stack.name and (successor := valid_successor(predecessor, access.index)):
            return successor
    for name in (object_name(stack, identity), identity):
        for successor in access.index.successors(name):
            if successor.status.predecessor and _is_member(successor, stack, access.index):
                return successor
    return None


def _candidates(index: NamespaceIndex, stack: HopperInstance, identity: str) -> Iterator[HopperInstance]:
    for instance in (index.get(object_name(stack, identity)), find_instance(index, identity)):
        if instance is not None:
            yield instance


def _is_member(instance: HopperInstance, stack: HopperInstance, index: NamespaceIndex) -> bool:
    return (
        instance.parent_name == stack.name
        and instance.spec.template_ref is not None
        and instance.spec.scope is Scope.ORCHESTRATION
        and is_alive(instance)
        and valid_successor(instance, index) is None
    )


def valid_successor(instance: HopperInstance, index: NamespaceIndex) -> HopperInstance | None:
    """Return the instance that takes over from another one; from then on, only the new name is valid."""
    for successor in index.successors(instance.name):
        takeover = takeover_of(successor, index)
        if takeover is None or takeover.predecessor is None or takeover.refusal is not None:
            continue
        if takeover.predecessor.metadata.uid == instance.metadata.uid:
            return successor
    return None


def object_name(stack: HopperInstance, name: str) -> str:
    """Return the name of the HopperInstance for an instance of a stack."""
    return f"{stack.name}-{name}"


def checked_object_name(stack: HopperInstance, name: str) -> str:
    """Return the same name. Raises `ValidationFailedError` if it is too long."""
    full_name = object_name(stack, name)
    if len(full_name) > MAX_NAME_LENGTH:
        message = f"{full_name} has more than {MAX_NAME_LENGTH} characters; choose a shorter name"
        raise invalid_field("instance_id", message, "too_long")
    return full_name


def name_in_stack(instance: HopperInstance, stack: HopperInstance) -> str:
    """Return the name of an instance within its stack."""
    return instance.name.removeprefix(f"{stack.name}-")


def template_name_of(member: HopperInstance) -> str:
    """Return the name of the template of a member."""
    assert member.spec.template_ref is not None, "a member of a stack has a template"
    return member.spec.template_ref.name


def object_names_of(access: Access, member: HopperInstance) -> ObjectNames:
    """Return the names of the objects that a member owns, by the rules of the operator."""
    index, prefix = access.index, access.context.settings.prefix
    ancestors = parent_link(member, index).ancestors
    return name_objects(member, ancestors, template_name_of(member), prefix, NameConflicts(index))
