"""The translation of models into structural schemas, and how rules get into them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from hopper.api.cel import Refusal, Rule, attach_rules
from hopper.api.enums import DesiredState, PortProtocol
from hopper.api.instance import HopperInstance
from hopper.api.schema import Schema, object_schema, structural_schema


@dataclass(frozen=True)
class Inner:
    """Inner by itself."""

    number: int = 3


@dataclass
class Node:
    """A tree."""

    child: Node | None = None


def field_schema(annotation: Any, default: Any = ..., **settings: bool) -> Schema:
    """Translate a model with one field, and return the schema of that field."""
    holder = type(
        "Holder", (), {"__annotations__": {"field": annotation}} | ({} if default is ... else {"field": default})
    )
    schema: Schema = structural_schema(dataclass(holder), **settings)["properties"]["field"]
    return schema


class TestStructuralSchema:
    @pytest.mark.parametrize(
        ("annotation", "expected"),
        [
            pytest.param(str, {"type": "string"}, id="plain"),
            pytest.param(str | None, {"type": "string"}, id="optional"),
            pytest.param(datetime | None, {"type": "string", "format": "date-time"}, id="time"),
            pytest.param(int, {"type": "integer", "format": "int64"}, id="unbounded integer"),
            pytest.param(
                Annotated[int, Field(le=9)], {"type": "integer", "format": "int32", "maximum": 9}, id="small integer"
            ),
            pytest.param(
                Annotated[int, Field(le=2**40)],
                {"type": "integer", "format": "int64", "maximum": 2**40},
                id="large integer",
            ),
            pytest.param(
                dict[str, str], {"type": "object", "additionalProperties": {"type": "string"}}, id="map of strings"
            ),
            pytest.param(
                dict[str, Any], {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, id="free form"
            ),
            pytest.param(
                tuple[str, ...],
                {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"},
                id="list",
            ),
            pytest.param(
                Annotated[
                    tuple[str, ...] | None, Field(max_length=2, json_schema_extra={"x-kubernetes-list-type": "set"})
                ],
                {"type": "array", "items": {"type": "string"}, "maxItems": 2, "x-kubernetes-list-type": "set"},
                id="optional set",
            ),
        ],
    )
    def test_translates(self, annotation: Any, expected: Schema) -> None:
        assert field_schema(annotation) == expected

    def test_a_reference_is_inlined_with_the_description_of_the_class(self) -> None:
        assert field_schema(Inner) == {
            "description": "Inner by itself.",
            "type": "object",
            "properties": {"number": {"type": "integer", "format": "int64", "default": 3}},
        }

    def test_the_description_of_the_field_wins(self) -> None:
        assert field_schema(Annotated[Inner | None, Field(description="Here.")])["description"] == "Here."

    @pytest.mark.parametrize(
        ("annotation", "default", "description"),
        [
            (bool, False, "Here. Defaults to false."),
            (DesiredState | None, None, "Here. One of Running, Paused, Stopped, Archived, Terminated."),
            (PortProtocol, PortProtocol.TCP, "Here. Defaults to TCP."),
        ],
    )
    def test_says_what_kubectl_explain_keeps_to_itself(self, annotation: Any, default: Any, description: str) -> None:
        found = field_schema(Annotated[annotation, Field(description="Here.")], default)
        assert found["description"] == description

    @pytest.mark.parametrize(
        ("annotation", "default", "stored"),
        [
            (int, 0, True),
            (bool, False, True),
            (str, "a", True),
            (str, "", False),
            (str | None, None, False),
            (tuple[str, ...], (), False),
            (Inner, Inner(), False),
        ],
    )
    def test_only_plain_defaults_are_stored(self, annotation: Any, default: Any, stored: bool) -> None:
        assert ("default" in field_schema(annotation, default)) is stored
        assert "default" not in field_schema(annotation, default, defaults=False)

    def test_fields_without_default_are_required(self) -> None:
        @dataclass
        class Pair:
            """Two."""

            first: str
            second: str | None = None

        assert structural_schema(Pair)["required"] == ["first"]

    @pytest.mark.parametrize(
        ("annotation", "problem"),
        [(int | str, "needs a type"), (int | str | None, "no unions"), (Any, "needs a type"), (Node, "recursive")],
    )
    def test_refuses_what_a_structural_schema_cannot_say(self, annotation: Any, problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            field_schema(annotation)

    def test_a_kind_without_status_has_none(self) -> None:
        @dataclass
        class Plain:
            """No status."""

            spec: Inner

        schema = object_schema(Plain)
        assert set(schema["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
        assert set(object_schema(HopperInstance)["properties"]) == {*schema["properties"], "status"}


SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "ports": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "size": {"type": "string", "pattern": "^[0-9]+$"},
    },
}


class TestAttach:
    def test_puts_rules_in_their_places_and_leaves_the_argument_alone(self) -> None:
        rule = Rule("self.name != ''", "name it", Refusal.REQUIRED, "name")
        result = attach_rules(SCHEMA, {"": (Rule("true", "fine"),), "ports[]": (rule,)})
        assert result["x-kubernetes-validations"] == [
            {"rule": "true", "message": "fine", "reason": "FieldValueInvalid"}
        ]
        assert result["properties"]["ports"]["items"]["x-kubernetes-validations"] == [
            {"rule": "self.name != ''", "message": "name it", "reason": "FieldValueRequired", "fieldPath": ".name"}
        ]
        assert "x-kubernetes-validations" not in str(SCHEMA)

    def test_a_rule_without_expression_takes_the_place_of_the_pattern(self) -> None:
        size = attach_rules(SCHEMA, {"size": (Rule(None, "digits only"),)})["properties"]["size"]
        assert "pattern" not in size
        assert size["x-kubernetes-validations"][0]["rule"] == "self.matches(r'^[0-9]+$')"

    @pytest.mark.parametrize("place", ["nothing", "ports[].nothing", "size[]"])
    def test_refuses_a_place_that_is_not_there(self, place: str) -> None:
        with pytest.raises(KeyError):
            attach_rules(SCHEMA, {place: (Rule("true", "fine"),)})
