"""TokenReviews: which tokens the gateway accepts, with and without audiences."""

from __future__ import annotations

from typing import Any, cast

import pytest

from hopper.adapters.callers import KubeAccessReviews
from hopper.adapters.kube import KubeClient

ALICE = {"username": "alice", "groups": ["dev"]}


class RecordedKube:
    """`KubeClient` that answers each request with one status, and records the specs of the requests."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.status = status
        self.specs: list[dict[str, Any]] = []

    async def request(self, verb: str, path: str, *, resource: str, body: dict[str, Any]) -> dict[str, Any]:
        self.specs.append(body["spec"])
        return {"status": self.status}


@pytest.mark.parametrize(
    ("audiences", "status", "is_accepted"),
    [
        ((), {"authenticated": True, "user": ALICE}, True),
        ((), {"authenticated": False}, False),
        (("hopper", "ci"), {"authenticated": True, "user": ALICE, "audiences": ["ci"]}, True),
        (("hopper",), {"authenticated": True, "user": ALICE, "audiences": ["https://kubernetes.default.svc"]}, False),
        (("hopper",), {"authenticated": True, "user": ALICE}, False),
    ],
)
async def test_tokens_must_be_for_an_audience(
    audiences: tuple[str, ...], status: dict[str, Any], is_accepted: bool
) -> None:
    kube = RecordedKube(status)
    user = await KubeAccessReviews(cast(KubeClient, kube), audiences).authenticate("token")
    assert (user is not None) is is_accepted
    assert kube.specs == [{"token": "token"} | ({"audiences": list(audiences)} if audiences else {})]
