"""`manifests/samples` has every field and value that users can set."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
import yaml

from hopper.api.crd import INSTANCE, TEMPLATE, CustomKind, custom_resource_definition
from hopper.api.enums import DesiredState, InstanceType, Scope
from tests.pages import ROOT

# Fields that the gateway sets when it renames an instance.
NOT_FOR_USERS = {"renamedFrom"}
DOCUMENTS = [
    document
    for path in sorted((ROOT / "manifests" / "samples").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]


def specs(kind: CustomKind) -> list[dict[str, Any]]:
    return [document["spec"] for document in DOCUMENTS if document["kind"] == kind.kind]


def fields(kind: CustomKind, *path: str) -> set[str]:
    node = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for name in path:
        node = node["properties"][name]
    return set(node["properties"])


@pytest.mark.parametrize("kind", [INSTANCE, TEMPLATE], ids=lambda kind: kind.kind)
def test_every_field_of_the_spec_is_shown(kind: CustomKind) -> None:
    shown = {field for spec in specs(kind) for field in spec}
    assert fields(kind) - NOT_FOR_USERS == shown


@pytest.mark.parametrize("part", ["overrides", "config", "restartPolicy"])
def test_every_nested_field_is_shown(part: str) -> None:
    shown = {field for spec in specs(INSTANCE) for field in spec.get(part, {})}
    assert fields(INSTANCE, part) == shown


@pytest.mark.parametrize(
    ("field", "values"), [("scope", Scope), ("desiredState", DesiredState), ("type", InstanceType)]
)
def test_every_value_is_shown(field: str, values: type[StrEnum]) -> None:
    shown = {spec[field] for spec in specs(INSTANCE) if field in spec}
    # Defaults need no sample, and an instance does not start as Terminated.
    assert set(values) - shown <= {DesiredState.RUNNING, DesiredState.TERMINATED, InstanceType.PERSISTENT}


def test_every_volume_type_is_shown() -> None:
    shown = {volume.get("type", "volume") for spec in specs(TEMPLATE) for volume in spec.get("volumes", ())}
    assert shown == {"volume", "tmpfs", "config"}


def test_names_are_unique() -> None:
    """All samples can be applied to one namespace."""
    names = [(document["kind"], document["metadata"]["name"]) for document in DOCUMENTS]
    assert len(set(names)) == len(names)
