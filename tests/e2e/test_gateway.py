"""The REST API, called from a pod with the token of its service account."""

from __future__ import annotations

import json

from tests.e2e.conftest import ALLOWED
from tests.e2e.hopper import CLIENT, CLIENTS, SYSTEM, Space, request, until

GATEWAY = f"http://hopper-gateway.{SYSTEM}/api/v1"


def call(space: Space, method: str, path: str, body: object = None, account: str = ALLOWED, token: bool = True) -> int:
    sign = "&" if "?" in path else "?"
    url = f"{GATEWAY}{path}{sign}namespace={space.name}"
    status, text = request(space.system.cluster, url, method, body, account=account, token=token)
    assert status < 500, text
    assert status != 0, text
    space.answer = json.loads(text) if text.strip() else None  # type: ignore[attr-defined]
    return status


def test_it_does_for_each_what_the_cluster_allows(space: Space) -> None:
    space.template()
    account = f"--serviceaccount={CLIENTS}:{ALLOWED}"
    space.kubectl("create", "rolebinding", "clerk", "--clusterrole=edit", account)
    until(lambda: call(space, "GET", "/instances"), 200, "the rights have arrived")

    assert call(space, "GET", "/instances", token=False) == 401
    assert call(space, "GET", "/instances", account=CLIENT) == 403
    assert call(space, "POST", "/instances", {"name": "web", "scope": "PROJECT"}, account=CLIENT) == 403
    assert space.get("web") == {}

    assert call(space, "POST", "/instances", {"id": "web", "name": "web", "scope": "PROJECT", "template": "web"}) == 201
    space.await_phase("Running", "web")
    space.await_answer("web", greeting="")
    assert call(space, "POST", "/instances/web/pause", {"reason": "lunch"}) == 200
    space.await_phase("Paused", "web")
    assert call(space, "POST", "/instances/web/resume", account=CLIENT) == 403
    assert space.phase("web") == "Paused"

    def shown() -> str:
        assert call(space, "GET", "/instances/web") == 200
        return str(space.answer["status"])  # type: ignore[attr-defined]

    until(shown, "paused", "the gateway shows what is")
    assert call(space, "DELETE", "/instances/web") == 204
    space.await_phase("Terminated", "web")
