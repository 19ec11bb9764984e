"""Translation of models into structural schemas, and insertion of CEL rules."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from hopper.api.cel import FieldErrorReason, Rule, attach_rules
from hopper.api.enums import DesiredState, PortProtocol
from hopper.api.instance import HopperInstance
from hopper.api.schema import Schema, object_schema, structural_schema


@dataclass(frozen=True)
class Inner:
    """Description of the class."""

    number: int = 3


@dataclass
class Recursive:
    """Recursive model."""

    child: Recursive | None = None


def field_schema(annotation: Any, default: Any = ..., **settings: bool) -> Schema:
    """Return the structural schema of a field with this annotation and default."""
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
    def test_a_field_is_translated(self, annotation: Any, expected: Schema) -> None:
        assert field_schema(annotation) == expected

    def test_a_reference_is_inlined_with_the_description_of_the_class(self) -> None:
        assert field_schema(Inner) == {
            "description": "Description of the class.",
            "type": "object",
            "properties": {"number": {"type": "integer", "format": "int64", "default": 3}},
        }

    def test_the_description_of_a_field_takes_precedence(self) -> None:
        assert field_schema(Annotated[Inner | None, Field(description="Field.")])["description"] == "Field."

    @pytest.mark.parametrize(
        ("annotation", "default", "description"),
        [
            (bool, False, "Field. Defaults to false."),
            (DesiredState | None, None, "Field. One of Running, Paused, Stopped, Archived, Terminated."),
            (PortProtocol, PortProtocol.TCP, "Field. Defaults to TCP."),
        ],
    )
    def test_defaults_and_long_enums_are_added_to_the_description(
        self, annotation: Any, default: Any, description: str
    ) -> None:
        found = field_schema(Annotated[annotation, Field(description="Field.")], default)
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
    def test_only_scalar_defaults_are_stored(self, annotation: Any, default: Any, stored: bool) -> None:
        assert ("default" in field_schema(annotation, default)) is stored
        assert "default" not in field_schema(annotation, default, defaults=False)

    def test_fields_without_default_are_required(self) -> None:
        @dataclass
        class Pair:
            """Model with a required and an optional field."""

            first: str
            second: str | None = None

        assert structural_schema(Pair)["required"] == ["first"]

    @pytest.mark.parametrize(
        ("annotation", "problem"),
        [(int | str, "needs a type"), (int | str | None, "no unions"), (Any, "needs a type"), (Recursive, "recursive")],
    )
    def test_a_type_without_a_structural_schema_is_an_error(self, annotation: Any, problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            field_schema(annotation)

    def test_a_kind_may_have_no_status(self) -> None:
        @dataclass
        class Plain:
            """Model without a status."""

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


class TestAttachRules:
    def test_rules_are_added_to_a_copy(self) -> None:
        rule = Rule("self.name != ''", "name it", FieldErrorReason.REQUIRED, "name")
        result = attach_rules(SCHEMA, {"": (Rule("true", "fine"),), "ports[]": (rule,)})
        assert result["x-kubernetes-validations"] == [
            {"rule": "true", "message": "fine", "reason": "FieldValueInvalid"}
        ]
        assert result["properties"]["ports"]["items"]["x-kubernetes-validations"] == [
            {"rule": "self.name != ''", "message": "name it", "reason": "FieldValueRequired", "fieldPath": ".name"}
        ]
        assert "x-kubernetes-validations" not in str(SCHEMA)

    def test_a_rule_without_an_expression_replaces_the_pattern(self) -> None:
        size = attach_rules(SCHEMA, {"size": (Rule(None, "digits only"),)})["properties"]["size"]
        assert "pattern" not in size
        assert size["x-kubernetes-validations"][0]["rule"] == "self.matches(r'^[0-9]+$')"

    @pytest.mark.parametrize("path", ["nothing", "ports[].nothing", "size[]"])
    def test_an_unknown_path_is_an_error(self, path: str) -> None:
        with pytest.raises(KeyError):
            attach_rules(SCHEMA, {path: (Rule("true", "fine"),)})
