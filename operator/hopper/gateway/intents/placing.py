"""Whether an instance fits where it is to be: rules that need other objects, told at once and not in a condition."""

from collections.abc import Collection

from hopper.api.conditions import Reason
from hopper.api.enums import DesiredState
from hopper.api.instance import HopperInstance
from hopper.api.resources import TEMPLATES
from hopper.domain.config import config_problems
from hopper.domain.hierarchy import parent_link
from hopper.domain.lifecycle import effective_state
from hopper.gateway.access import Access
from hopper.gateway.http.errors import (
    BadRequestError,
    InvalidError,
    MissingError,
    TakenError,
    field_error,
    invalid_field,
)
from hopper.gateway.intents.writes import exists, reread
from hopper.gateway.views.reads import lookup
from hopper.registry import NamespaceIndex

_WRONG = (Reason.PARENT_REQUIRED, Reason.WRONG_PARENT_SCOPE, Reason.PARENT_CYCLE)
_FULL = (Reason.TOO_MANY_CHILDREN, Reason.TOO_DEEP, Reason.PARENT_IS_BEING_DELETED)


class _With:
    """A tree as it would be with one more instance, or with another version of it. Implements `hierarchy.Tree`."""

    def __init__(self, index: NamespaceIndex, instance: HopperInstance) -> None:
        self._index = index
        self._instance = instance

    def get(self, name: str) -> HopperInstance | None:
        return self._instance if name == self._instance.name else self._index.get(name)

    def children(self, name: str) -> Collection[HopperInstance]:
        others = [it for it in self._index.children(name) if it.name != self._instance.name]
        return [*others, self._instance] if self._instance.parent_name == name else others

    def dependents(self, uid: str) -> Collection[HopperInstance]:
        return self._index.dependents(uid)

    def waiting_services(self, name: str | None) -> Collection[HopperInstance]:
        return self._index.waiting_services(name)

    def successors(self, name: str) -> Collection[HopperInstance]:
        return self._index.successors(name)

    def has_reserved_slot(self, child: HopperInstance, parent: HopperInstance) -> bool:
        return self._index.has_reserved_slot(child, parent)


async def resolve_parent(access: Access, identity: str) -> str:
    """Return the name of the parent that an id or a uid means. Raises `BadRequestError` where there is none."""
    found = lookup(access.index, identity)
    if found is not None:
        return found.name
    try:
        return (await reread(access, identity)).name
    except MissingError:
        raise BadRequestError(f"parent_id: instance {identity} does not exist") from None


async def check_template(access: Access, name: str) -> None:
    """Raise `BadRequestError` where there is no such template."""
    if access.context.templates.get(access.namespace, name) is None and not await exists(access, TEMPLATES, name):
        raise BadRequestError(f"template {name} does not exist")


def check_config(instance: HopperInstance) -> None:
    """Raise `InvalidError` for fields of the configuration that the scope does not have."""
    if problems := [it.removeprefix("spec.") for it in config_problems(instance)]:
        errors = [field_error(("body", *_field_of(it)), it, "config_invalid") for it in problems]
        raise InvalidError("; ".join(problems), errors=errors)


def _field_of(problem: str) -> list[str]:
    return problem.split(maxsplit=1)[0].split(".")


def check_place(access: Access, instance: HopperInstance) -> None:
    """Raise where the parent is not the right one, has no room, or is over."""
    link = parent_link(instance, _With(access.index, instance))
    said = link.message.replace("spec.parentRef.name", "parent_id").removeprefix("parent_id: ")
    if link.reason in _WRONG:
        raise invalid_field("parent_id", said, link.reason)
    if link.reason in _FULL:
        raise TakenError(f"parent_id: {said}")
    if not link.valid:
        raise BadRequestError(f"parent_id: {said}")
    above = effective_state(instance, link.ancestors)
    if above.source is not None and above.state is DesiredState.TERMINATED:
        raise BadRequestError(f"parent_id: {above.source.name} is terminated, and everything below it")
