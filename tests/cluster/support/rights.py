"""Rights of service accounts: granted by roles, and used by requests according to the audit log."""

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
READ_VERBS = ["get", "list", "watch"]
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_GRANTED_SECONDS = 30


class Right(NamedTuple):
    """Verb on a resource (or `resource/subresource`) in one namespace or in all."""

    namespace: str
    group: str
    resource: str
    verb: str

    def covers(self, other: Right) -> bool:
        return self[1:] == other[1:] and self.namespace in (EVERYWHERE, other.namespace)


def audit_policy(*namespaces: str) -> str:
    """Return an audit policy that logs only the requests of the service accounts of these namespaces."""
    groups = [f"system:serviceaccounts:{namespace}" for namespace in namespaces]
    rules = [{"level": "Metadata", "userGroups": groups}, {"level": "None"}]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    return yaml.safe_dump(policy)


class AuditLog:
    """Requests of one service account in the audit log of the API server."""

    def __init__(self, file: Path, namespace: str, account: str) -> None:
        self._file = file
        self._user = f"system:serviceaccount:{namespace}:{account}"

    def entries(self) -> Iterator[Manifest]:
        """Yield the entries about requests for resources."""
        complete, _, _ = self._file.read_text(encoding="utf-8").rpartition("\n")  # the last line may be incomplete
        for line in complete.splitlines():
            entry = json.loads(line)
            if entry["user"]["username"] == self._user and "resource" in entry.get("objectRef", {}):
                yield entry

    def forbidden_requests(self) -> list[str]:
        """Return one line for each request that was rejected for lack of a right."""
        return [
            f"{entry['verb']} {entry['requestURI']}: {entry['responseStatus'].get('message')}"
            for entry in self.entries()
            if entry.get("responseStatus", {}).get("code") == 403
        ]

    def used_rights(self) -> set[Right]:
        return {right for entry in self.entries() for right in _rights_used_by(entry)}

    def requested_names(self, resource: str) -> set[str]:
        """Return the names of the objects of a resource that were requested by name."""
        references = (entry["objectRef"] for entry in self.entries() if entry["verb"] not in ("list", "watch"))
        return {
            reference["name"] for reference in references if reference["resource"] == resource and "name" in reference
        }


def _rights_used_by(entry: Manifest) -> Iterator[Right]:
    """Yield the rights that a request needed: an apply that created an object needed `patch` and `create`."""
    target = entry["objectRef"]
    resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
    place = target.get("namespace", EVERYWHERE), target.get("apiGroup", ""), resource
    yield Right(*place, entry["verb"])
    if entry["verb"] == "patch" and entry.get("responseStatus", {}).get("code") == 201:
        yield Right(*place, "create")


async def create_service_account(live: LiveInstances, rules: list[Manifest], name: str = "operator") -> str:
    """Create a service account with a role of these rules in the namespace; return a token for it."""
    accounts = f"/api/v1/namespaces/{live.namespace}/serviceaccounts"
    metadata = {"metadata": {"name": name}}
    await live.request("POST", accounts, metadata)
    await live.request("POST", f"{_RBAC}/namespaces/{live.namespace}/roles", metadata | {"rules": rules})
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": live.namespace}],
    }
    await live.request("POST", f"{_RBAC}/namespaces/{live.namespace}/rolebindings", metadata | binding)
    rule, user = rules[0], f"system:serviceaccount:{live.namespace}:{name}"
    await until_allowed(live, user, rule["verbs"][0], rule["apiGroups"][0], rule["resources"][0], live.namespace)
    token_request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token: str = (await live.request("POST", f"{accounts}/{name}/token", token_request))["status"]["token"]
    return token


async def replace_role(live: LiveInstances, rules: list[Manifest], name: str = "operator") -> None:
    """Replace the rules of a role that `create_service_account` created."""
    role = f"{_RBAC}/namespaces/{live.namespace}/roles/{name}"
    await live.request("PATCH", role, {"rules": rules}, "application/merge-patch+json")


async def until_allowed(live: LiveInstances, user: str, verb: str, group: str, resource: str, namespace: str) -> None:
    """Wait until a new role binding is in effect; the API server learns about it through a watch."""
    attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
    review: Manifest = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    review["spec"] = {"user": user, "resourceAttributes": attributes}
    async with asyncio.timeout(_GRANTED_SECONDS):
        while not (await live.request("POST", _REVIEWS, review))["status"]["allowed"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def granted_rights(objects: Iterable[Manifest], account: str) -> set[Right]:
    """Return the rights that the roles and bindings among these objects grant to a service account."""
    objects = list(objects)
    roles = {(role["kind"], role["metadata"].get("namespace"), role["metadata"]["name"]): role for role in objects}
    rights: set[Right] = set()
    for binding in objects:
        if binding["kind"] in ("RoleBinding", "ClusterRoleBinding") and _binds(binding, account):
            namespace = binding["metadata"].get("namespace")
            kind = binding["roleRef"]["kind"]
            role = roles[kind, namespace if kind == "Role" else None, binding["roleRef"]["name"]]
            rights |= {Right(namespace or EVERYWHERE, *right) for rule in role["rules"] for right in _expand(rule)}
    return rights


def _binds(binding: Manifest, account: str) -> bool:
    return any(subject["kind"] == "ServiceAccount" and subject["name"] == account for subject in binding["subjects"])


def _expand(rule: Manifest) -> Iterator[tuple[str, str, str]]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield group, resource, verb
