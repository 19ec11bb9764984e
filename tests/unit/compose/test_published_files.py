"""Conversion of published compose files: the operator accepts the results, and secrets stay in Secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from hopper.api.instance import InstanceSpec
from hopper.api.template import TemplateSpec
from hopper.cli.manifest_yaml import yaml_documents
from hopper.compose.report import Outcome
from hopper.domain.service.merge import merge
from hopper.domain.service.problems import find_problems
from tests.unit.compose.golden_outputs import GOLDEN_SOURCES, SOURCES, build_output, convert_fixture, golden_path

_TEMPLATE: TypeAdapter[TemplateSpec] = TypeAdapter(TemplateSpec)
_INSTANCE: TypeAdapter[InstanceSpec] = TypeAdapter(InstanceSpec)
# Passwords of the fixtures that are also ordinary words in them.
_PASSWORDS_THAT_ARE_WORDS = {"wordpress", "devarch"}


def test_there_are_many_fixtures() -> None:
    assert len(SOURCES) >= 25


@pytest.mark.parametrize("source", GOLDEN_SOURCES)
def test_the_output_equals_the_golden_file(source: str) -> None:
    assert "".join(build_output(source)) == golden_path(source).read_text(encoding="utf-8"), (
        "after an intended change, run: python -m tests.unit.compose.golden_outputs"
    )


@pytest.mark.parametrize("source", SOURCES)
class TestEveryFixture:
    def test_the_operator_accepts_the_manifests(self, source: str) -> None:
        for manifest in convert_fixture(source).manifests():
            if manifest["kind"] == "HopperTemplate":
                spec = _TEMPLATE.validate_python(manifest["spec"])
                assert find_problems(merge(spec, None)) == ()
            elif manifest["kind"] == "HopperInstance":
                _INSTANCE.validate_python(manifest["spec"])

    def test_references_between_manifests_resolve(self, source: str) -> None:
        manifests = convert_fixture(source).manifests()
        names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
        assert len(names) == len(manifests)
        for manifest in manifests:
            spec = manifest.get("spec", {})
            if "templateRef" in spec:
                assert ("HopperTemplate", spec["templateRef"]["name"]) in names
                assert ("HopperInstance", spec["parentRef"]["name"]) in names
            for name in spec.get("dependsOn", ()):
                assert ("HopperInstance", f"demo-{name}") in names
            for ref in _secret_refs(spec):
                assert ref["name"] == "shared-smtp" or ref["key"] in _secret_data(manifests, ref["name"])

    def test_secrets_are_only_in_secrets(self, source: str) -> None:
        conversion = convert_fixture(source)
        values = {value for service in conversion.services for value in service.secrets.values()}
        elsewhere = "".join(
            yaml_documents(manifest for manifest in conversion.manifests() if manifest["kind"] != "Secret")
        )
        elsewhere += json.dumps([str(finding) for finding in conversion.findings])
        for value in values:
            for form in (value, base64.b64encode(value.encode()).decode()):
                assert len(form) < 6 or form in _PASSWORDS_THAT_ARE_WORDS or form not in elsewhere

    def test_lost_keys_have_advice(self, source: str) -> None:
        for finding in convert_fixture(source).findings:
            assert finding.message
            assert finding.advice or finding.outcome is not Outcome.DROPPED
            assert not finding.message.endswith(".")

    def test_the_output_is_valid_yaml(self, source: str) -> None:
        manifests = convert_fixture(source).manifests()
        text = "".join(yaml_documents(manifests))
        assert list(yaml.safe_load_all(text)) == json.loads(json.dumps(manifests))

    def test_the_output_is_deterministic(self, source: str) -> None:
        assert list(build_output(source)) == list(build_output(source))


def _secret_data(manifests: list[dict[str, Any]], name: str) -> dict[str, str]:
    (secret,) = (
        manifest for manifest in manifests if (manifest["kind"], manifest["metadata"]["name"]) == ("Secret", name)
    )
    return dict(secret["data"])


def _secret_refs(spec: dict[str, Any]) -> list[dict[str, str]]:
    return [entry["valueFrom"]["secretKeyRef"] for entry in spec.get("env", ()) if "valueFrom" in entry]
