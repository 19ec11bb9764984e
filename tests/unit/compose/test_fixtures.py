"""Compose files as people publish them: all of them convert, and the operator would run what comes out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from hopper.api.instance import InstanceSpec
from hopper.api.template import TemplateSpec
from hopper.cli.yaml_output import documents
from hopper.compose.report import Outcome
from hopper.domain.service.merge import merge
from hopper.domain.service.problems import find_problems
from tests.unit.compose.golden import KEPT, SOURCES, converted, output, path_of

_TEMPLATE: TypeAdapter[TemplateSpec] = TypeAdapter(TemplateSpec)
_INSTANCE: TypeAdapter[InstanceSpec] = TypeAdapter(InstanceSpec)
# Passwords of these fixtures that are also ordinary words there.
_WORDS = {"wordpress", "devarch"}


def test_there_are_enough() -> None:
    assert len(SOURCES) >= 25


@pytest.mark.parametrize("source", KEPT)
def test_whole_outputs(source: str) -> None:
    assert "".join(output(source)) == path_of(source).read_text(encoding="utf-8"), (
        "after a change that is meant: python -m tests.unit.compose.golden"
    )


@pytest.mark.parametrize("source", SOURCES)
class TestEveryFixture:
    def test_the_operator_would_run_it(self, source: str) -> None:
        for manifest in converted(source).manifests():
            if manifest["kind"] == "HopperTemplate":
                spec = _TEMPLATE.validate_python(manifest["spec"])
                assert find_problems(merge(spec, None)) == ()
            elif manifest["kind"] == "HopperInstance":
                _INSTANCE.validate_python(manifest["spec"])

    def test_references_lead_somewhere(self, source: str) -> None:
        manifests = converted(source).manifests()
        there = {(one["kind"], one["metadata"]["name"]) for one in manifests}
        assert len(there) == len(manifests)
        for manifest in manifests:
            spec = manifest.get("spec", {})
            if "templateRef" in spec:
                assert ("HopperTemplate", spec["templateRef"]["name"]) in there
                assert ("HopperInstance", spec["parentRef"]["name"]) in there
            for name in spec.get("dependsOn", ()):
                assert ("HopperInstance", f"demo-{name}") in there
            for ref in _secret_refs(spec):
                assert ref["name"] == "shared-smtp" or ref["key"] in _data(manifests, ref["name"])

    def test_secrets_are_only_in_secrets(self, source: str) -> None:
        conversion = converted(source)
        values = {value for service in conversion.services for value in service.secrets.values()}
        elsewhere = "".join(documents(m for m in conversion.manifests() if m["kind"] != "Secret"))
        elsewhere += json.dumps([str(finding) for finding in conversion.findings])
        for value in values:
            for form in (value, base64.b64encode(value.encode()).decode()):
                assert len(form) < 6 or form in _WORDS or form not in elsewhere

    def test_findings_say_what_to_do(self, source: str) -> None:
        for finding in converted(source).findings:
            assert finding.message
            assert finding.advice or finding.outcome is not Outcome.DROPPED
            assert not finding.message.endswith(".")

    def test_any_yaml_parser_reads_the_same(self, source: str) -> None:
        manifests = converted(source).manifests()
        text = "".join(documents(manifests))
        assert list(yaml.safe_load_all(text)) == json.loads(json.dumps(manifests))

    def test_it_is_the_same_every_time(self, source: str) -> None:
        assert list(output(source)) == list(output(source))


def _data(manifests: list[dict[str, Any]], name: str) -> dict[str, str]:
    (found,) = (one["data"] for one in manifests if (one["kind"], one["metadata"]["name"]) == ("Secret", name))
    return dict(found)


def _secret_refs(spec: dict[str, Any]) -> list[dict[str, str]]:
    return [entry["valueFrom"]["secretKeyRef"] for entry in spec.get("env", ()) if "valueFrom" in entry]
