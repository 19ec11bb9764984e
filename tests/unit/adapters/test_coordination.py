"""Writes of Leases and heartbeat shards."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hopper.adapters.coordination import KubeHeartbeats, KubeLease
from hopper.ports import ConflictError, LeaseRecord, NotFoundError
from tests.unit.adapters.server import Server, respond_json
from tests.unit.domain.sample_instances import NOW

LEASES = "/apis/coordination.k8s.io/v1/namespaces/hopper/leases"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"

RECORD = LeaseRecord("me", 15, NOW, NOW + timedelta(microseconds=1500), 3)
WIRE = {
    "metadata": {"name": "hopper-operator", "resourceVersion": "9"},
    "spec": {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-03-01T12:00:00.000000Z",
        "renewTime": "2026-03-01T12:00:00.001500Z",
        "leaseTransitions": 3,
    },
}


class TestLeases:
    async def test_a_missing_lease_is_none(self, server: Server) -> None:
        server.handler = respond_json({"message": "not record"}, 404)
        assert await KubeLease(server.kube, "hopper", "hopper-operator").read() is None

    async def test_a_lease_is_read(self, server: Server) -> None:
        server.handler = respond_json(WIRE)
        record = await KubeLease(server.kube, "hopper", "hopper-operator").read()
        assert record == replace(RECORD, version="9")
        assert server.received[0].path == f"{LEASES}/hopper-operator"

    async def test_an_empty_lease_has_no_holder(self, server: Server) -> None:
        server.handler = respond_json({"metadata": {"resourceVersion": "1"}})
        record = await KubeLease(server.kube, "hopper", "hopper-operator").read()
        assert record is not None
        assert (record.holder, record.duration_seconds, record.transitions) == ("", 0, 0)
        assert record.renewed < datetime(1970, 1, 1, tzinfo=UTC)

    async def test_a_record_without_version_is_created(self, server: Server) -> None:
        server.handler = respond_json(WIRE)
        written = await KubeLease(server.kube, "hopper", "hopper-operator").write(RECORD)
        (received,) = server.received
        assert (received.method, received.path) == ("POST", LEASES)
        assert received.body["metadata"] == {"name": "hopper-operator"}
        assert received.body["spec"] == WIRE["spec"]
        assert written.version == "9"

    async def test_a_record_with_version_is_patched_and_keeps_other_fields(self, server: Server) -> None:
        server.handler = respond_json(WIRE)
        await KubeLease(server.kube, "hopper", "hopper-operator").write(replace(RECORD, version="8"))
        (received,) = server.received
        assert (received.method, received.path) == ("PATCH", f"{LEASES}/hopper-operator")
        assert received.body == {"metadata": {"resourceVersion": "8"}, "spec": WIRE["spec"]}


async def test_a_heartbeat_patch_has_only_its_keys_and_the_labels(server: Server) -> None:
    await KubeHeartbeats(server.kube).merge("default", 3, {"web": "{}", "gone": None})
    (received,) = server.received
    assert (received.method, received.path) == ("PATCH", f"{CONFIGMAPS}/hopper-heartbeats-3")
    assert received.headers["content-type"] == "application/merge-patch+json"
    labels = {"app.kubernetes.io/managed-by": "hopper", "hopper.dev/heartbeats": "true"}
    assert received.body == {"metadata": {"labels": labels}, "data": {"web": "{}", "gone": None}}
    assert received.query == {"fieldManager": "hopper-gateway"}


async def test_a_created_shard_has_the_labels(server: Server) -> None:
    await KubeHeartbeats(server.kube).create("default", 0, {"web": "{}"})
    (received,) = server.received
    assert (received.method, received.path) == ("POST", CONFIGMAPS)
    assert received.body["metadata"] == {
        "name": "hopper-heartbeats-0",
        "labels": {"app.kubernetes.io/managed-by": "hopper", "hopper.dev/heartbeats": "true"},
    }
    assert received.body["data"] == {"web": "{}"}


async def test_heartbeat_errors_are_those_of_the_port(server: Server) -> None:
    store = KubeHeartbeats(server.kube)
    server.handler = respond_json({"message": "no"}, 404)
    with pytest.raises(NotFoundError):
        await store.merge("default", 0, {})
    server.handler = respond_json({"message": "no"}, 409)
    with pytest.raises(ConflictError):
        await store.create("default", 0, {})
