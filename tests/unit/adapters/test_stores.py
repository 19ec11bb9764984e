"""Instances, lists and Leases: the requests they make."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from hopper.adapters.coordination import KubeLease
from hopper.adapters.custom_resources import KubeInstances
from hopper.adapters.lists import KubeLister
from hopper.api.enums import Phase
from hopper.api.resources import INSTANCES
from hopper.domain.plan import MetadataChange
from hopper.ports import ApiError, ConflictError, LeaseRecord, ListChunk, RefusedError, UnavailableError
from tests.unit.adapters.server import Answer, Server, says, says_text
from tests.unit.domain.sample_instances import NOW, instance, owned_by

LIST = "/apis/hopper.dev/v1/namespaces/default/hopperinstances"
PATH = f"{LIST}/web"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/hopper/leases"

WEB = instance("web", phase=Phase.STARTING)
WEB = replace(WEB, metadata=replace(WEB.metadata, resource_version="7"))
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


class TestInstances:
    async def test_a_status_is_patched_by_what_differs(self, server: Server) -> None:
        status = replace(WEB.status, phase=Phase.RUNNING, last_transition_time=None, restarts=1)
        await KubeInstances(server.kube).write_status(WEB, status)
        (received,) = server.received
        assert (received.method, received.path) == ("PATCH", f"{PATH}/status")
        assert received.body == {
            "metadata": {"resourceVersion": "7"},
            "status": {"phase": "Running", "lastTransitionTime": None, "restarts": 1},
        }

    async def test_a_first_status_is_written_in_full(self, server: Server) -> None:
        new = replace(WEB, status=replace(instance("web").status))
        await KubeInstances(server.kube).write_status(new, replace(new.status, observed_generation=1))
        status = server.received[0].body["status"]
        assert status["phase"] == "Created"
        assert status["observedGeneration"] == 1

    async def test_metadata_is_replaced_in_the_version_it_was_computed_from(self, server: Server) -> None:
        change = MetadataChange((owned_by(instance("shop")),), ("hopper.dev/ordered-deletion",))
        await KubeInstances(server.kube).write_metadata(WEB, change)
        owner = {
            "apiVersion": "hopper.dev/v1",
            "kind": "HopperInstance",
            "name": "shop",
            "uid": "uid-shop",
            "controller": True,
            "blockOwnerDeletion": True,
        }
        assert server.received[0].path == PATH
        assert server.received[0].body == {
            "metadata": {
                "resourceVersion": "7",
                "ownerReferences": [owner],
                "finalizers": ["hopper.dev/ordered-deletion"],
            }
        }

    async def test_exactly_this_object_is_deleted(self, server: Server) -> None:
        await KubeInstances(server.kube).delete(WEB)
        (received,) = server.received
        assert (received.method, received.path) == ("DELETE", PATH)
        preconditions = {"uid": "uid-web", "resourceVersion": WEB.metadata.resource_version}
        assert received.body == {"preconditions": preconditions, "propagationPolicy": "Background"}

    async def test_a_deletion_that_meets_a_conflict_has_not_happened(self, server: Server) -> None:
        server.answer = says({"message": "the UID in the precondition does not match"}, 409)
        with pytest.raises(ConflictError):
            await KubeInstances(server.kube).delete(WEB)


class TestLists:
    async def test_it_is_asked_for_whole_and_handed_out_in_parts(self, server: Server) -> None:
        wanted = [{"metadata": {"name": f"a-{number}", "labels": {"text": "x" * 1000}}} for number in range(500)]
        server.answer = says({"items": wanted, "metadata": {"resourceVersion": "7"}})
        parts = [part async for part in KubeLister(server.kube).chunks(INSTANCES, "default", "app=x")]
        assert [it for part in parts for it in part.items] == wanted
        assert max(len(part.items) for part in parts) < len(wanted)
        assert [part.version for part in parts if part.version] == [parts[-1].version] == ["7"]
        (received,) = server.received
        assert (received.path, received.query) == (LIST, {"labelSelector": "app=x"})
        assert server.observed == [("GET", "hopperinstances", 200)]

    async def test_of_all_namespaces(self, server: Server) -> None:
        server.answer = says({"items": None, "metadata": {"resourceVersion": "3"}})
        assert [it async for it in KubeLister(server.kube).chunks(INSTANCES, None)][-1] == ListChunk([], "3")
        assert (server.received[0].path, server.received[0].query) == ("/apis/hopper.dev/v1/hopperinstances", {})

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (says({"message": "no"}, 403), RefusedError),
            (says({"message": "busy"}, 429), UnavailableError),
            (says({"kind": "Status"}), UnavailableError),
            (says_text('{"items": [{"metadata": {}}, '), UnavailableError),
            (says_text("<html>"), UnavailableError),
        ],
    )
    async def test_what_is_not_a_whole_list_is_none(
        self, server: Server, answer: Answer, error: type[ApiError]
    ) -> None:
        server.answer = answer
        with pytest.raises(error):
            _ = [it async for it in KubeLister(server.kube).chunks(INSTANCES, "default")]

    async def test_the_connection_breaks_in_the_middle(self, server: Server) -> None:
        async def half(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"items": [{"metadata": {"name": "a"}}, {"met')
            assert request.transport
            request.transport.close()
            return response

        server.answer = half
        parts = KubeLister(server.kube).chunks(INSTANCES, "default")
        assert await anext(parts) == ListChunk([{"metadata": {"name": "a"}}])
        with pytest.raises(UnavailableError):
            await anext(parts)
        assert server.observed == [("GET", "hopperinstances", 0)]

    async def test_who_has_enough_hangs_up(self, server: Server) -> None:
        hung_up = asyncio.Event()

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b'{"items": [')
            try:
                while True:
                    await response.write(b'{"metadata": {"name": "a"}},')
                    await asyncio.sleep(0.01)
            finally:
                hung_up.set()

        server.answer = endless
        parts = KubeLister(server.kube).chunks(INSTANCES, "default")
        while not (await anext(parts)).items:
            pass
        await parts.aclose()
        async with asyncio.timeout(10):
            await hung_up.wait()


class TestLeases:
    async def test_one_that_is_not_there(self, server: Server) -> None:
        server.answer = says({"message": "not found"}, 404)
        assert await KubeLease(server.kube, "hopper", "hopper-operator").read() is None

    async def test_read(self, server: Server) -> None:
        server.answer = says(WIRE)
        found = await KubeLease(server.kube, "hopper", "hopper-operator").read()
        assert found == replace(RECORD, version="9")
        assert server.received[0].path == f"{LEASES}/hopper-operator"

    async def test_one_that_says_nothing_is_nobodys(self, server: Server) -> None:
        server.answer = says({"metadata": {"resourceVersion": "1"}})
        found = await KubeLease(server.kube, "hopper", "hopper-operator").read()
        assert found is not None
        assert (found.holder, found.duration_seconds, found.transitions) == ("", 0, 0)
        assert found.renewed < datetime(1970, 1, 1, tzinfo=UTC)

    async def test_the_first_is_created(self, server: Server) -> None:
        server.answer = says(WIRE)
        written = await KubeLease(server.kube, "hopper", "hopper-operator").write(RECORD)
        (received,) = server.received
        assert (received.method, received.path) == ("POST", LEASES)
        assert received.body["metadata"] == {"name": "hopper-operator"}
        assert received.body["spec"] == WIRE["spec"]
        assert written.version == "9"

    async def test_later_ones_replace_a_version_and_leave_alone_what_others_wrote(self, server: Server) -> None:
        server.answer = says(WIRE)
        await KubeLease(server.kube, "hopper", "hopper-operator").write(replace(RECORD, version="8"))
        (received,) = server.received
        assert (received.method, received.path) == ("PATCH", f"{LEASES}/hopper-operator")
        assert received.body == {"metadata": {"resourceVersion": "8"}, "spec": WIRE["spec"]}
