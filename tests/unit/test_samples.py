"""`manifests/samples` shows everything that a user can ask for."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
import yaml

from hopper.api.crd import INSTANCE, TEMPLATE, CustomKind, custom_resource_definition
from hopper.api.enums import DesiredState, InstanceType, Scope
from tests.pages import ROOT

# Written by the gateway when it renames an instance.
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
def test_every_field(kind: CustomKind) -> None:
    shown = {field for spec in specs(kind) for field in spec}
    assert fields(kind) - NOT_FOR_USERS == shown


@pytest.mark.parametrize("part", ["overrides", "config", "restartPolicy"])
def test_every_field_of(part: str) -> None:
    shown = {field for spec in specs(INSTANCE) for field in spec.get(part, {})}
    assert fields(INSTANCE, part) == shown


@pytest.mark.parametrize(("field", "words"), [("scope", Scope), ("desiredState", DesiredState), ("type", InstanceType)])
def test_every_word(field: str, words: type[StrEnum]) -> None:
    shown = {spec[field] for spec in specs(INSTANCE) if field in spec}
    # What they do by themselves, nobody asks for; what is over, nobody begins with.
    assert set(words) - shown <= {DesiredState.RUNNING, DesiredState.TERMINATED, InstanceType.PERSISTENT}


def test_every_kind_of_volume() -> None:
    shown = {volume.get("type", "volume") for spec in specs(TEMPLATE) for volume in spec.get("volumes", ())}
    assert shown == {"volume", "tmpfs", "config"}


def test_names_are_used_once() -> None:
    """All of them can be applied to one namespace."""
    names = [(document["kind"], document["metadata"]["name"]) for document in DOCUMENTS]
    assert len(set(names)) == len(names)
