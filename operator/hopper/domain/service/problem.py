"""One thing that is wrong with a service, said so that its author can put it right."""

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """Where a value comes from."""

    TEMPLATE = "template"
    OVERRIDE = "override"
    DEFAULT = "default"
    INSTANCE = "instance"
    INHERITED = "inherited"


_PLACE = {Origin.OVERRIDE: "spec.overrides.", Origin.INSTANCE: "spec."}


@dataclass(frozen=True, slots=True)
class ServiceProblem:
    """Why a service must not or cannot run.

    `field` is a path such as `env[TZ].value`, `message` says what is wrong and what to do about it. Neither ever holds
    the value of a variable.
    """

    field: str
    message: str
    origin: Origin = Origin.TEMPLATE

    def __str__(self) -> str:
        """Name the field as its author finds it, then the message."""
        return f"{_PLACE.get(self.origin, 'template: spec.')}{self.field}: {self.message}"
