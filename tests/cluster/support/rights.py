"""Rights of a service account: those that roles grant, and those that its requests used, as the audit log tells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from hopper.api.resources import Manifest
from tests.cluster.support.live_instances import LiveInstances

EVERYWHERE = "*"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_KNOWN_SECONDS = 30


class Right(NamedTuple):
    """A verb on a resource (or `resource/subresource`) in a namespace, or everywhere."""

    namespace: str
    group: str
    resource: str
    verb: str

    def covers(self, other: Right) -> bool:
        return self[1:] == other[1:] and self.namespace in (EVERYWHERE, other.namespace)


def audit_policy(*namespaces: str) -> str:
    """Log what the service accounts of these namespaces do, and nothing else."""
    groups = [f"system:serviceaccounts:{namespace}" for namespace in namespaces]
    rules = [{"level": "Metadata", "userGroups": groups}, {"level": "None"}]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    return yaml.safe_dump(policy)


class AuditLog:
    """The log of the API server, for one service account."""

    def __init__(self, file: Path, namespace: str, account: str) -> None:
        self._file = file
        self._user = f"system:serviceaccount:{namespace}:{account}"

    def entries(self) -> Iterator[Manifest]:
        """Yield the requests for resources."""
        whole, _, _ = self._file.read_text(encoding="utf-8").rpartition("\n")  # a line may be just being written
        for line in whole.splitlines():
            entry = json.loads(line)
            if entry["user"]["username"] == self._user and "resource" in entry.get("objectRef", {}):
                yield entry

    def forbidden(self) -> list[str]:
        """Name the requests that were refused for want of a right."""
        return [
            f"{entry['verb']} {entry['requestURI']}: {entry['responseStatus'].get('message')}"
            for entry in self.entries()
            if entry.get("responseStatus", {}).get("code") == 403
        ]

    def used(self) -> set[Right]:
        return {right for entry in self.entries() for right in _taken_by(entry)}

    def names(self, resource: str) -> set[str]:
        """Return the names of the objects of a kind that were asked for by name."""
        found = (entry["objectRef"] for entry in self.entries() if entry["verb"] not in ("list", "watch"))
        return {it["name"] for it in found if it["resource"] == resource and "name" in it}


def _taken_by(entry: Manifest) -> Iterator[Right]:
    """Yield what a request took: a patch that created an object was asked for both."""
    target = entry["objectRef"]
    resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
    place = target.get("namespace", EVERYWHERE), target.get("apiGroup", ""), resource
    yield Right(*place, entry["verb"])
    if entry["verb"] == "patch" and entry.get("responseStatus", {}).get("code") == 201:
        yield Right(*place, "create")


async def until_allowed(live: LiveInstances, user: str, verb: str, group: str, resource: str, namespace: str) -> None:
    """Wait until the API server has heard of a role that was bound a moment ago."""
    attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
    review: Manifest = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    review["spec"] = {"user": user, "resourceAttributes": attributes}
    async with asyncio.timeout(_KNOWN_SECONDS):
        while not (await live.request("POST", _REVIEWS, review))["status"]["allowed"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def granted(objects: Iterable[Manifest], account: str) -> set[Right]:
    """Return what the roles among these objects grant to a service account."""
    objects = list(objects)
    roles = {(it["kind"], it["metadata"].get("namespace"), it["metadata"]["name"]): it for it in objects}
    found: set[Right] = set()
    for binding in objects:
        if binding["kind"] in ("RoleBinding", "ClusterRoleBinding") and _binds(binding, account):
            namespace = binding["metadata"].get("namespace")
            kind = binding["roleRef"]["kind"]
            role = roles[kind, namespace if kind == "Role" else None, binding["roleRef"]["name"]]
            found |= {Right(namespace or EVERYWHERE, *right) for rule in role["rules"] for right in _rights(rule)}
    return found


def _binds(binding: Manifest, account: str) -> bool:
    return any(it["kind"] == "ServiceAccount" and it["name"] == account for it in binding["subjects"])


def _rights(rule: Manifest) -> Iterator[tuple[str, str, str]]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield group, resource, verb
