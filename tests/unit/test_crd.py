"""The generated CRDs: up to date, structural, described, and consistent with the models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hopper.api.cel import FieldErrorReason
from hopper.api.config import InstanceConfig
from hopper.api.crd import INSTANCE, KINDS, CustomKind, custom_resource_definition
from hopper.api.enums import Phase, Scope
from hopper.api.rules import instance_rules
from hopper.api.schema import Schema, structural_schema
from hopper.api.scopes import SCOPE_CONFIG, SCOPES
from tests.generators.crds import main, render_crd_file

CRDS = Path(__file__).parents[2] / "crds"
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every node with its path, such as `.spec.env[].name`."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def schema_of(kind: CustomKind) -> Schema:
    version = custom_resource_definition(kind)["spec"]["versions"][0]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


class TestFiles:
    @each_kind
    def test_is_up_to_date(self, kind: CustomKind) -> None:
        file = CRDS / f"{kind.crd_name}.yaml"
        assert file.exists(), "crds/ is incomplete: run make crds"
        assert file.read_text(encoding="utf-8") == render_crd_file(kind), "crds/ is out of date: run make crds"

    def test_there_are_no_other_files(self) -> None:
        assert {path.name for path in CRDS.iterdir()} == {f"{kind.crd_name}.yaml" for kind in KINDS}

    @each_kind
    def test_the_first_line_names_the_generator(self, kind: CustomKind) -> None:
        text = render_crd_file(kind)
        assert "make crds" in text.splitlines()[0]
        assert yaml.safe_load(text) == custom_resource_definition(kind)

    def test_the_command_keeps_other_files(self, tmp_path: Path) -> None:
        other = tmp_path / "other.yaml"
        other.write_text("mine", encoding="utf-8")
        subprocess.run([sys.executable, "-m", "tests.generators.crds", str(tmp_path)], cwd=CRDS.parent, check=True)
        assert {path.name for path in tmp_path.iterdir()} == {"other.yaml"} | {f"{k.crd_name}.yaml" for k in KINDS}
        assert other.read_text(encoding="utf-8") == "mine"

    def test_the_command_requires_a_directory(self) -> None:
        with pytest.raises(SystemExit, match="usage"):
            main([])


@each_kind
class TestEveryKind:
    def test_every_field_is_described(self, kind: CustomKind) -> None:
        undescribed = [
            f"{path}.{name}"
            for path, node in nodes(schema_of(kind))
            for name, child in node.get("properties", {}).items()
            if not child.get("description", "").strip() and not f"{path}.{name}".startswith(".metadata")
        ]
        assert undescribed == []

    def test_the_schema_is_structural(self, kind: CustomKind) -> None:
        for path, node in nodes(schema_of(kind)):
            assert "type" in node, path
            assert not {"$ref", "$defs", "title", "oneOf", "allOf", "anyOf", "const"} & node.keys(), path
            assert "nullable" not in node or path.endswith(".healthcheck.$remove"), path
            assert not ({"properties", "additionalProperties"} <= node.keys()), path

    def test_the_schema_of_metadata_has_only_the_name(self, kind: CustomKind) -> None:
        assert schema_of(kind)["properties"]["metadata"] == {
            "type": "object",
            "properties": {"name": {"type": "string"}},
        }

    def test_lists_have_a_list_type(self, kind: CustomKind) -> None:
        for path, node in nodes(schema_of(kind)):
            if node["type"] != "array":
                continue
            assert node["x-kubernetes-list-type"] in {"atomic", "set", "map"}, path
            for key in node.get("x-kubernetes-list-map-keys", ()):
                items = node["items"]
                assert key in items.get("required", ()) or "default" in items["properties"][key], f"{path}.{key}"

    def test_integers_have_a_format(self, kind: CustomKind) -> None:
        formats = {node["format"] for _, node in nodes(schema_of(kind)) if node["type"] == "integer"}
        assert formats <= {"int32", "int64"}

    def test_status_has_no_default_but_that_no_operator_has_observed_the_object(self, kind: CustomKind) -> None:
        status = schema_of(kind)["properties"].get("status")
        if status is None:
            return
        defaults = {path: node["default"] for path, node in nodes(status) if "default" in node}
        assert sorted(map(str, defaults.values())) == ["-1", "{'observedGeneration': -1}"]

    def test_lists_and_strings_of_the_spec_are_bounded(self, kind: CustomKind) -> None:
        """Without limits, the API server estimates too high a cost for the CEL rules, and rejects the CRD."""
        for path, node in nodes(schema_of(kind)["properties"]["spec"]):
            if node["type"] == "array":
                assert "maxItems" in node, path
            if node["type"] == "string":
                assert {"maxLength", "enum", "format"} & node.keys(), path

    def test_patterns_are_replaced_by_rules_with_messages(self, kind: CustomKind) -> None:
        assert [path for path, node in nodes(schema_of(kind)["properties"]["spec"]) if "pattern" in node] == []

    def test_rules_have_a_message_a_reason_and_an_existing_path(self, kind: CustomKind) -> None:
        for path, node in nodes(schema_of(kind)):
            for rule in node.get("x-kubernetes-validations", ()):
                assert len(rule["message"]) > 20, path
                assert rule["reason"] in set(FieldErrorReason), path
                target = node
                for step in rule.get("fieldPath", "").split(".")[1:]:
                    target = target["properties"][step]


class TestInstance:
    def test_names_subresources_and_selectable_fields(self) -> None:
        spec = custom_resource_definition(INSTANCE)["spec"]
        assert (spec["group"], spec["scope"]) == ("hopper.dev", "Namespaced")
        assert spec["names"] == {
            "kind": "HopperInstance",
            "listKind": "HopperInstanceList",
            "plural": "hopperinstances",
            "singular": "hopperinstance",
            "shortNames": ["hi"],
            "categories": ["hopper"],
        }
        (version,) = spec["versions"]
        assert (version["name"], version["served"], version["storage"]) == ("v1", True, True)
        assert version["subresources"] == {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        }
        assert [field["jsonPath"] for field in version["selectableFields"]] == [
            ".spec.scope",
            ".spec.parentRef.name",
            ".status.phase",
        ]

    def test_only_scalar_defaults_are_stored(self) -> None:
        spec = schema_of(INSTANCE)["properties"]["spec"]
        defaults = {path: node["default"] for path, node in nodes(spec) if "default" in node}
        assert {path: value for path, value in defaults.items() if path.count(".") == 1} == {
            ".desiredState": "Running",
            ".replicas": 1,
            ".deletionProtection": False,
        }
        assert defaults[".overrides.ports[].protocol"] == "TCP"
        assert defaults[".restartPolicy.maxRetries"] == 5
        assert not any(value in (None, "", [], {}) for value in defaults.values() if value is not False and value != 0)

    def test_free_form_configuration_is_preserved(self) -> None:
        extra = schema_of(INSTANCE)["properties"]["spec"]["properties"]["config"]["properties"]["extra"]
        assert extra["x-kubernetes-preserve-unknown-fields"] is True
        assert extra["type"] == "object"
        assert "additionalProperties" not in extra

    def test_the_status_schema_follows_the_models(self) -> None:
        status = schema_of(INSTANCE)["properties"]["status"]["properties"]
        assert status["phase"]["enum"] == list(Phase)
        assert status["lastTransitionTime"]["format"] == "date-time"
        assert status["observedGeneration"]["format"] == "int64"
        assert status["conditions"]["x-kubernetes-list-map-keys"] == ["type"]

    def test_the_defaults_files_list_exactly_the_configuration_fields(self) -> None:
        leaves = {
            path.removeprefix(".")
            for path, node in nodes(structural_schema(InstanceConfig))
            if "properties" not in node and not path.endswith("[]")
        }
        assert {path for config in SCOPE_CONFIG.values() for path in config.fields} == leaves

    @pytest.mark.parametrize("scope", list(Scope))
    def test_a_rule_rejects_each_field_that_a_scope_lacks(self, scope: Scope) -> None:
        fields = {path for config in SCOPE_CONFIG.values() for path in config.fields}
        rules = {rule.field: rule for rule in instance_rules([])["spec"]}
        for path in fields - SCOPE_CONFIG[scope].fields.keys():
            rule = rules[f"config.{path}"]
            assert rule.cel is not None
            assert f"'{scope}'" not in rule.cel

    @pytest.mark.parametrize("scope", list(Scope))
    def test_parent_rules_follow_the_scope_matrix(self, scope: Scope) -> None:
        parent_rules = [
            rule
            for rule in instance_rules([])["spec"]
            if f"'{scope}'" in str(rule.cel) and rule.field.startswith("parentRef")
        ]
        assert any(rule.reason is FieldErrorReason.REQUIRED for rule in parent_rules) is not SCOPES[scope].may_be_root
        assert any(rule.reason is FieldErrorReason.FORBIDDEN for rule in parent_rules) is not bool(
            SCOPES[scope].parents
        )
