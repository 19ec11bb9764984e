"""Manifests that the bench writes: instances, a template, the status Hopper would write, and a tree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from hopper.api.crd import KINDS, custom_resource_definition
from hopper.api.enums import DesiredState, Scope
from hopper.api.instance import dump_status, parse_instance
from hopper.api.names import (
    GLOBAL_NAME,
    GROUP,
    INSTANCE_KIND,
    INSTANCE_PLURAL,
    TEMPLATE_KIND,
    TEMPLATE_PLURAL,
    VERSION,
)
from hopper.api.resources import Manifest
from hopper.domain.hierarchy import parent_link
from hopper.domain.lifecycle import effective_state
from hopper.domain.observed import Observed
from hopper.domain.planner import plan
from hopper.registry import NamespaceIndex
from tests.bench.peers.status import PEER_GROUP


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind by API group and plural. The peers serve Hopper's kinds under their own group."""

    group: str
    plural: str = INSTANCE_PLURAL

    @property
    def api_version(self) -> str:
        return f"{self.group}/{VERSION}"

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        root = f"/apis/{self.api_version}" if self.group else f"/api/{VERSION}"
        parts = [f"{root}/namespaces/{namespace}/{self.plural}", name, subresource]
        return "/".join(part for part in parts if part)

    def definition(self) -> str:
        """Return the CustomResourceDefinition of Hopper's kind in this group, as YAML."""
        manifest = custom_resource_definition(next(kind for kind in KINDS if kind.plural == self.plural))
        manifest["metadata"]["name"] = f"{self.plural}.{self.group}"
        manifest["spec"]["group"] = self.group
        manifest["spec"]["names"]["shortNames"] = []
        manifest["spec"]["names"].pop("categories")
        return yaml.safe_dump(manifest)


HOPPER = Kind(GROUP)
PEER = Kind(PEER_GROUP)
HOPPER_TEMPLATES = Kind(GROUP, TEMPLATE_PLURAL)
PEER_TEMPLATES = Kind(PEER_GROUP, TEMPLATE_PLURAL)
PODS = Kind("", "pods")


def instance(
    kind: Kind,
    name: str,
    scope: Scope = Scope.PROJECT,
    parent: str | None = None,
    owner_uid: str | None = None,
    template: str | None = None,
) -> Manifest:
    """Return the manifest of an instance, with an ownerReference to its parent if `owner_uid` is given."""
    metadata: dict[str, Any] = {"name": name}
    if owner_uid:
        owner = {"apiVersion": kind.api_version, "kind": INSTANCE_KIND, "name": parent, "uid": owner_uid}
        metadata["ownerReferences"] = [owner | {"controller": True, "blockOwnerDeletion": True}]
    spec: dict[str, Any] = {"scope": scope.value, "desiredState": DesiredState.RUNNING.value}
    if parent:
        spec["parentRef"] = {"name": parent}
    if template:
        spec["templateRef"] = {"name": template}
    return {"apiVersion": kind.api_version, "kind": INSTANCE_KIND, "metadata": metadata, "spec": spec}


def template(kind: Kind, name: str, image: str) -> Manifest:
    """Return the manifest of a template that gives each instance a Deployment, a Service and a ConfigMap."""
    spec = {
        "image": image,
        "ports": [{"containerPort": 8080}],
        "configFiles": [{"path": "/etc/web.conf", "content": "listen 8080\n"}],
    }
    return {"apiVersion": kind.api_version, "kind": TEMPLATE_KIND, "metadata": {"name": name}, "spec": spec}


def running_status() -> dict[str, Any]:
    """Return the status that Hopper's planner gives a new instance without a template, for raw status writes."""
    created = datetime.now(UTC).replace(microsecond=0)
    metadata = {"name": "i-0000", "namespace": "bench", "uid": "0", "creationTimestamp": created}
    created_instance = parse_instance({"metadata": metadata, "spec": {"scope": Scope.PROJECT}})
    link = parent_link(created_instance, NamespaceIndex())
    effective = effective_state(created_instance, link.ancestors)
    decision = plan(Observed(now=created, instance=created_instance, link=link, effective=effective))
    assert decision.status is not None
    return dump_status(decision.status)


@dataclass(frozen=True, slots=True)
class Node:
    """An instance of the benchmark tree."""

    name: str
    scope: Scope
    parent: str | None = None


def tree(size: int) -> list[list[Node]]:
    """Return the levels of a tree: Global → Family or Project → Personal or Event → Orchestration.

    A tree of 1,000 has levels of 1, 9, 90 and 900. The scope matrix allows no deeper tree.
    """
    second = max(1, size * 9 // 1000)
    third = max(second, size * 90 // 1000)
    below = {Scope.FAMILY: Scope.PERSONAL, Scope.PROJECT: Scope.EVENT}
    levels = [[Node(GLOBAL_NAME, Scope.GLOBAL)]]
    second_scopes = [Scope.FAMILY if index % 2 else Scope.PROJECT for index in range(second)]
    levels.append([Node(f"b-{index}", scope, GLOBAL_NAME) for index, scope in enumerate(second_scopes)])
    levels.append(
        [Node(f"c-{index}", below[second_scopes[index % second]], f"b-{index % second}") for index in range(third)]
    )
    rest = size - sum(map(len, levels))
    levels.append([Node(f"d-{index}", Scope.ORCHESTRATION, f"c-{index % third}") for index in range(rest)])
    return levels
