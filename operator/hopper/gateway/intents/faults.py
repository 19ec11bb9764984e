"""What is wrong with a service, said at once: the same that the operator would say later in a condition."""

from collections.abc import Iterable

from hopper.api.service import Overrides
from hopper.api.template import TemplateSpec
from hopper.domain.service.merge import LIST_KINDS, ServiceProblem
from hopper.gateway.http.errors import FieldError, InvalidError, field_error

Location = tuple[str | int, ...]


def invalid_service(
    found: Iterable[ServiceProblem], source: TemplateSpec | Overrides, *, root: Location = (), part: Location = ()
) -> InvalidError:
    """Return the 422 about these problems. The body holds `source` at `root`, or only a `part` of it."""
    errors = [_error(problem, source, root, part) for problem in found]
    return InvalidError("; ".join(f"{it['field']}: {it['message']}" for it in errors), errors=errors)


def _error(problem: ServiceProblem, source: TemplateSpec | Overrides, root: Location, part: Location) -> FieldError:
    place = location_of(problem.field, source)
    if place[: len(part)] == part:
        return field_error(("body", *root, *place[len(part) :]), problem.message, "service_invalid")
    return field_error(("body",), str(problem), "service_invalid")


def location_of(field: str, source: TemplateSpec | Overrides) -> Location:
    """Return where a path such as `env[TZ].value` leads to: `("env", 0, "value")`."""
    for kind in LIST_KINDS:
        for index, entry in enumerate(getattr(source, kind.field)):
            path = kind.path(entry)
            if field == path or field.startswith(f"{path}."):
                rest = field[len(path) + 1 :]
                return (kind.wire, index, *(rest.split(".") if rest else ()))
    return tuple(field.split("."))
