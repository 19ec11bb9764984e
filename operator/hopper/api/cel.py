"""CEL rules as data, and how they get into a schema as `x-kubernetes-validations`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Node = dict[str, Any]


class Refusal(StrEnum):
    """The machine-readable reasons that Kubernetes knows for a refused field."""

    INVALID = "FieldValueInvalid"
    FORBIDDEN = "FieldValueForbidden"
    REQUIRED = "FieldValueRequired"


@dataclass(frozen=True, slots=True)
class Rule:
    """One expression that must hold, and what to say where it does not.

    `field` is the path to blame, below the node that the rule is attached to. Without an expression, the rule puts the
    node's `pattern` into words: of a pattern, the API server would show nothing but the regular expression.
    """

    cel: str | None
    message: str
    refusal: Refusal = Refusal.INVALID
    field: str = ""


# Rules by the node they are attached to: "" is the object, `spec.scope` a field, `spec.ports[]` each item of a list.
Rules = Mapping[str, tuple[Rule, ...]]


def attach(schema: Node, rules: Rules) -> Node:
    """Return the schema with the rules in their places. Raises `KeyError` for a place that the schema does not have."""
    for place, entries in rules.items():
        steps = place.replace("[]", ".[]").split(".") if place else []
        schema = _attached(schema, steps, entries)
    return schema


def _attached(node: Node, steps: list[str], rules: tuple[Rule, ...]) -> Node:
    if not steps:
        copy = dict(node)
        return copy | {"x-kubernetes-validations": [_validation(rule, copy) for rule in rules]}
    step, *rest = steps
    if step == "[]":
        return node | {"items": _attached(node["items"], rest, rules)}
    properties = node["properties"]
    return node | {"properties": properties | {step: _attached(properties[step], rest, rules)}}


def _validation(rule: Rule, node: Node) -> Node:
    cel = rule.cel or f"self.matches(r'{node.pop('pattern')}')"
    entry = {"rule": cel, "message": rule.message, "reason": str(rule.refusal)}
    return entry | ({"fieldPath": f".{rule.field}"} if rule.field else {})
