"""What the bench writes: instances, the status that Hopper gives them, and a tree."""

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
from tests.bench.peer_status import PEER_GROUP


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of Hopper, in one of two API groups with the same schema; or a kind of Kubernetes."""

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
        """Return the CustomResourceDefinition of Hopper's kind for this group, as YAML."""
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
    """Return a manifest; with `owner_uid` the ownerReference to the parent is in place already."""
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
    """Return the status that Hopper's planner gives a new logical instance: what a raw status write is to carry."""
    created = datetime.now(UTC).replace(microsecond=0)
    metadata = {"name": "i-0000", "namespace": "bench", "uid": "0", "creationTimestamp": created}
    found = parse_instance({"metadata": metadata, "spec": {"scope": Scope.PROJECT}})
    link = parent_link(found, NamespaceIndex())
    decided = plan(Observed(now=created, instance=found, link=link, effective=effective_state(found, link.ancestors)))
    assert decided.status is not None
    return dump_status(decided.status)


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the tree."""

    name: str
    scope: Scope
    parent: str | None = None


def tree(size: int) -> list[list[Node]]:
    """Return the nodes of a tree level by level: Global → Family or Project → Personal or Event → Orchestration.

    1,000 nodes are 1, 9, 90 and 900. That is as deep as the scope matrix allows.
    """
    second = max(1, size * 9 // 1000)
    third = max(second, size * 90 // 1000)
    below = {Scope.FAMILY: Scope.PERSONAL, Scope.PROJECT: Scope.EVENT}
    levels = [[Node(GLOBAL_NAME, Scope.GLOBAL)]]
    heads = [Scope.FAMILY if index % 2 else Scope.PROJECT for index in range(second)]
    levels.append([Node(f"b-{index}", scope, GLOBAL_NAME) for index, scope in enumerate(heads)])
    levels.append([Node(f"c-{index}", below[heads[index % second]], f"b-{index % second}") for index in range(third)])
    rest = size - sum(map(len, levels))
    levels.append([Node(f"d-{index}", Scope.ORCHESTRATION, f"c-{index % third}") for index in range(rest)])
    return levels
