"""The REST API, called from pods with the tokens of their ServiceAccounts."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import EDITOR_CLIENT
from tests.e2e.release import (
    CLIENT_NAMESPACE,
    RELEASE_NAMESPACE,
    UNPRIVILEGED_CLIENT,
    InstanceNamespace,
    request,
    until,
)

GATEWAY = f"http://hopper-gateway.{RELEASE_NAMESPACE}/api/v1"


def call(
    namespace: InstanceNamespace,
    method: str,
    path: str,
    body: object = None,
    account: str = EDITOR_CLIENT,
    token: bool = True,
) -> tuple[int, Any]:
    """Return the status code and the decoded body."""
    url = f"{GATEWAY}{path}?namespace={namespace.name}"
    status, text = request(namespace.release.cluster, url, method, body, account=account, token=token)
    assert 0 < status < 500, text
    return status, json.loads(text) if text.strip() else None


def status_code(*args: Any, **options: Any) -> int:
    return call(*args, **options)[0]


def test_callers_need_the_rights_of_the_cluster(namespace: InstanceNamespace) -> None:
    namespace.template()
    account = f"--serviceaccount={CLIENT_NAMESPACE}:{EDITOR_CLIENT}"
    namespace.kubectl("create", "rolebinding", "clerk", "--clusterrole=edit", account)
    until(lambda: status_code(namespace, "GET", "/instances"), 200, "the RoleBinding is effective")

    wanted = {"id": "web", "name": "web", "scope": "PROJECT", "template": "web"}
    assert status_code(namespace, "GET", "/instances", token=False) == 401
    assert status_code(namespace, "GET", "/instances", account=UNPRIVILEGED_CLIENT) == 403
    assert status_code(namespace, "POST", "/instances", wanted, account=UNPRIVILEGED_CLIENT) == 403
    assert namespace.get("web") == {}

    assert status_code(namespace, "POST", "/instances", wanted) == 201
    namespace.await_phase("Running", "web")
    namespace.await_answer("web", greeting="")
    assert status_code(namespace, "POST", "/instances/web/pause", {"reason": "lunch"}) == 200
    namespace.await_phase("Paused", "web")
    assert status_code(namespace, "POST", "/instances/web/resume", account=UNPRIVILEGED_CLIENT) == 403
    assert namespace.phase("web") == "Paused"

    until(lambda: call(namespace, "GET", "/instances/web")[1]["status"], "paused", "the gateway shows the pause")
    assert status_code(namespace, "DELETE", "/instances/web") == 204
    namespace.await_phase("Terminated", "web")
