"""Checks of a write before it is sent: parent, template, configuration and service.

The operator would report the same problems later, in conditions. A caller gets them at once.
"""

from collections.abc import Collection, Iterable

from hopper.api.conditions import Reason
from hopper.api.enums import DesiredState
from hopper.api.instance import HopperInstance
from hopper.api.resources import TEMPLATES
from hopper.api.service import Overrides
from hopper.api.template import TemplateSpec
from hopper.domain.config import config_problems
from hopper.domain.hierarchy import parent_link
from hopper.domain.lifecycle import effective_state
from hopper.domain.service.merge import LIST_KINDS, ServiceProblem
from hopper.gateway.access import Access
from hopper.gateway.http.errors import (
    BadRequestError,
    FieldError,
    HttpConflictError,
    HttpNotFoundError,
    ValidationFailedError,
)
from hopper.gateway.http.validation_errors import field_error, invalid_field
from hopper.gateway.intents.writes import object_exists, read_instance
from hopper.gateway.views.queries import find_instance
from hopper.registry import NamespaceIndex

_INVALID_PARENT = (Reason.PARENT_REQUIRED, Reason.WRONG_PARENT_SCOPE, Reason.PARENT_CYCLE)
_NO_SLOT = (Reason.TOO_MANY_CHILDREN, Reason.TOO_DEEP, Reason.PARENT_IS_BEING_DELETED)

Location = tuple[str | int, ...]


class _TreeWith:
    """The hierarchy with one more instance, or with another version of one. Implements `domain.hierarchy.Tree`."""

    def __init__(self, index: NamespaceIndex, instance: HopperInstance) -> None:
        self._index = index
        self._instance = instance

    def get(self, name: str) -> HopperInstance | None:
        return self._instance if name == self._instance.name else self._index.get(name)

    def children(self, name: str) -> Collection[HopperInstance]:
        others = [child for child in self._index.children(name) if child.name != self._instance.name]
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
    """Return the name of the parent with this id or uid. Raises `BadRequestError` if it does not exist."""
    parent = find_instance(access.index, identity)
    if parent is not None:
        return parent.name
    try:
        return (await read_instance(access, identity)).name
    except HttpNotFoundError:
        raise BadRequestError(f"parent_id: instance {identity} does not exist") from None


async def check_template_exists(access: Access, name: str) -> None:
    """Raise `BadRequestError` if a template does not exist."""
    is_known = access.context.templates.get(access.namespace, name) is not None
    if not is_known and not await object_exists(access, TEMPLATES, name):
        raise BadRequestError(f"template {name} does not exist in namespace {access.namespace}; create it first")


def check_config(instance: HopperInstance) -> None:
    """Raise `ValidationFailedError` for configuration fields that the scope does not allow."""
    if problems := [problem.removeprefix("spec.") for problem in config_problems(instance)]:
        errors = [field_error(("body", *_path_of(problem)), problem, "config_invalid") for problem in problems]
        raise ValidationFailedError("; ".join(problems), errors=errors)


def _path_of(problem: str) -> list[str]:
    """Return the path of the field at the beginning of a message."""
    return problem.split(maxsplit=1)[0].split(".")


def check_parent(access: Access, instance: HopperInstance) -> None:
    """Raise if the parent has the wrong scope, causes a cycle, has no free slot, or is terminated."""
    link = parent_link(instance, _TreeWith(access.index, instance))
    message = link.message.replace("spec.parentRef.name", "parent_id").removeprefix("parent_id: ")
    if link.reason in _INVALID_PARENT:
        raise invalid_field("parent_id", message, link.reason)
    if link.reason in _NO_SLOT:
        raise HttpConflictError(f"parent_id: {message}")
    if not link.valid:
        raise BadRequestError(f"parent_id: {message}")
    effective = effective_state(instance, link.ancestors)
    if effective.source is not None and effective.state is DesiredState.TERMINATED:
        raise BadRequestError(f"parent_id: {effective.source.name} is terminated with all its descendants")


def invalid_service(
    problems: Iterable[ServiceProblem], source: TemplateSpec | Overrides, *, root: Location = (), part: Location = ()
) -> ValidationFailedError:
    """Return the 422 for problems of a service.

    The body contains `source` at the location `root`, or only the `part` of it.
    """
    errors = [_service_error(problem, source, root, part) for problem in problems]
    return ValidationFailedError("; ".join(f"{error['field']}: {error['message']}" for error in errors), errors=errors)


def _service_error(
    problem: ServiceProblem, source: TemplateSpec | Overrides, root: Location, part: Location
) -> FieldError:
    location = location_of(problem.field, source)
    if location[: len(part)] == part:
        return field_error(("body", *root, *location[len(part) :]), problem.message, "service_invalid")
    return field_error(("body",), str(problem), "service_invalid")


def location_of(field: str, source: TemplateSpec | Overrides) -> Location:
    """Return the location of a path such as `env[TZ].value` in a body: `("env", 0, "value")`."""
    for kind in LIST_KINDS:
        for index, entry in enumerate(getattr(source, kind.field)):
            path = kind.path(entry)
            if field == path or field.startswith(f"{path}."):
                subfield = field[len(path) + 1 :]
                return (kind.wire, index, *(subfield.split(".") if subfield else ()))
    return tuple(field.split("."))
