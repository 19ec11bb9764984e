"""CEL validation rules, and their insertion into a schema as `x-kubernetes-validations`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hopper.api.schema import Schema


class FieldErrorReason(StrEnum):
    """Machine-readable reasons of Kubernetes for a rejected field."""

    INVALID = "FieldValueInvalid"
    FORBIDDEN = "FieldValueForbidden"
    REQUIRED = "FieldValueRequired"


@dataclass(frozen=True, slots=True)
class Rule:
    """CEL expression that must be true, and the message for objects where it is false.

    `field` is the path of the rejected field, relative to the node of the rule. A rule without an expression replaces
    the `pattern` of its node, because the API server would report only the regular expression of a pattern.
    """

    cel: str | None
    message: str
    reason: FieldErrorReason = FieldErrorReason.INVALID
    field: str = ""


# Rules by the path of their node: "" for the object, `spec.scope` for a field, `spec.ports[]` for each item of a list.
Rules = Mapping[str, tuple[Rule, ...]]


def attach_rules(schema: Schema, rules: Rules) -> Schema:
    """Return a copy of the schema with the rules. Raises `KeyError` if the schema does not have the path of a rule."""
    for path, entries in rules.items():
        steps = path.replace("[]", ".[]").split(".") if path else []
        schema = _with_rules(schema, steps, entries)
    return schema


def _with_rules(node: Schema, steps: list[str], rules: tuple[Rule, ...]) -> Schema:
    if not steps:
        copy = dict(node)
        return copy | {"x-kubernetes-validations": [_validation(rule, copy) for rule in rules]}
    step, *rest = steps
    if step == "[]":
        return node | {"items": _with_rules(node["items"], rest, rules)}
    properties = node["properties"]
    return node | {"properties": properties | {step: _with_rules(properties[step], rest, rules)}}


def _validation(rule: Rule, node: Schema) -> Schema:
    cel = rule.cel or f"self.matches(r'{node.pop('pattern')}')"
    entry = {"rule": cel, "message": rule.message, "reason": str(rule.reason)}
    return entry | ({"fieldPath": f".{rule.field}"} if rule.field else {})
