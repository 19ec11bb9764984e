"""ConfigMaps of heartbeats: the requests that write them."""

from __future__ import annotations

import pytest

from hopper.adapters.coordination import KubeHeartbeats
from hopper.ports import ConflictError, NotFoundError
from tests.unit.adapters.server import Server, says

PATH = "/api/v1/namespaces/default/configmaps"


async def test_a_patch_touches_nothing_but_its_keys_and_labels(server: Server) -> None:
    await KubeHeartbeats(server.kube).merge("default", 3, {"web": "{}", "gone": None})
    (received,) = server.received
    assert (received.method, received.path) == ("PATCH", f"{PATH}/hopper-heartbeats-3")
    assert received.headers["content-type"] == "application/merge-patch+json"
    labels = {"app.kubernetes.io/managed-by": "hopper", "hopper.dev/heartbeats": "true"}
    assert received.body == {"metadata": {"labels": labels}, "data": {"web": "{}", "gone": None}}
    assert received.query == {"fieldManager": "hopper-gateway"}


async def test_what_is_created_is_found_by_its_labels(server: Server) -> None:
    await KubeHeartbeats(server.kube).create("default", 0, {"web": "{}"})
    (received,) = server.received
    assert (received.method, received.path) == ("POST", PATH)
    assert received.body["metadata"] == {
        "name": "hopper-heartbeats-0",
        "labels": {"app.kubernetes.io/managed-by": "hopper", "hopper.dev/heartbeats": "true"},
    }
    assert received.body["data"] == {"web": "{}"}


async def test_errors_are_those_of_the_port(server: Server) -> None:
    store = KubeHeartbeats(server.kube)
    server.answer = says({"message": "no"}, 404)
    with pytest.raises(NotFoundError):
        await store.merge("default", 0, {})
    server.answer = says({"message": "no"}, 409)
    with pytest.raises(ConflictError):
        await store.create("default", 0, {})
