"""Rules of a HopperTemplate: those that it shares with overrides, and those of the fields that only it has."""

from collections.abc import Iterable

from hopper.api.cel import Rule, Rules
from hopper.api.service_rules import service_rules

_QUANTITY = (Rule(None, "is not a quantity: write a number and perhaps a unit, such as 500m or 256Mi"),)


def template_rules(_: Iterable[str]) -> Rules:
    """Return every rule of a HopperTemplate."""
    amounts = {f"spec.resources.{kind}.{name}": _QUANTITY for kind in ("requests", "limits") for name in _AMOUNTS}
    return {**_FIELDS, **amounts, **service_rules("spec")}


_AMOUNTS = ("cpu", "memory")
_FIELDS: Rules = {
    "spec.image": (Rule(None, "image is not the name of an image: write one such as nginx:1.27"),),
    "spec.workingDir": (Rule(None, "workingDir is not absolute: begin it with /"),),
    "spec.user": (Rule(None, "user is not numeric: write a user, or user:group, such as 1000 or 1000:1000"),),
    "spec.dependsOn[]": (Rule(None, "is not the name of an instance: use lower-case letters, digits, - and ."),),
}
