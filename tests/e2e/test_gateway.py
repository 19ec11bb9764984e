"""The REST API, called from pods with the tokens of their service accounts."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import ALLOWED
from tests.e2e.hopper import CLIENT, CLIENTS, SYSTEM, Space, request, until

GATEWAY = f"http://hopper-gateway.{SYSTEM}/api/v1"


def ask(
    space: Space, method: str, path: str, body: object = None, account: str = ALLOWED, token: bool = True
) -> tuple[int, Any]:
    """Return code and content of the answer."""
    url = f"{GATEWAY}{path}?namespace={space.name}"
    status, text = request(space.system.cluster, url, method, body, account=account, token=token)
    assert 0 < status < 500, text
    return status, json.loads(text) if text.strip() else None


def code(space: Space, method: str, path: str, body: object = None, account: str = ALLOWED, token: bool = True) -> int:
    return ask(space, method, path, body, account, token)[0]


def test_it_does_for_each_what_the_cluster_allows(space: Space) -> None:
    space.template()
    account = f"--serviceaccount={CLIENTS}:{ALLOWED}"
    space.kubectl("create", "rolebinding", "clerk", "--clusterrole=edit", account)
    until(lambda: code(space, "GET", "/instances"), 200, "the rights have arrived")

    wanted = {"id": "web", "name": "web", "scope": "PROJECT", "template": "web"}
    assert code(space, "GET", "/instances", token=False) == 401
    assert code(space, "GET", "/instances", account=CLIENT) == 403
    assert code(space, "POST", "/instances", wanted, account=CLIENT) == 403
    assert space.get("web") == {}

    assert code(space, "POST", "/instances", wanted) == 201
    space.await_phase("Running", "web")
    space.await_answer("web", greeting="")
    assert code(space, "POST", "/instances/web/pause", {"reason": "lunch"}) == 200
    space.await_phase("Paused", "web")
    assert code(space, "POST", "/instances/web/resume", account=CLIENT) == 403
    assert space.phase("web") == "Paused"

    until(lambda: ask(space, "GET", "/instances/web")[1]["status"], "paused", "the gateway shows what is")
    assert code(space, "DELETE", "/instances/web") == 204
    space.await_phase("Terminated", "web")
