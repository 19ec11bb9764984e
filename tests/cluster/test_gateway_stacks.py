"""Templates and stacks through the REST API, on a real API server beside a running operator."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hopper.local import Cluster
from tests.cluster.support.convergence import local_cluster_or_skip
from tests.cluster.support.fault_proxy import Call, Fault, FaultProxy, running_fault_proxy
from tests.cluster.support.gateway_process import running_gateway_process
from tests.cluster.support.in_process_gateway import GatewayClient, GatewayResponse
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.workloads import Workloads, owner_names

SHOP = "/stacks/shop/instances"
SECONDS = 90  # the garbage collector must first discover the kinds of Hopper
SECRET = {"name": "TOKEN", "value": "s3cret-value", "secret": True}
WEB = {
    "image": "web:1",
    "ports": [{"containerPort": 80}],
    "volumes": [{"target": "/data", "size": "1Mi"}],
    "env": [{"name": "LEVEL", "value": "1"}, SECRET],
}


async def create_stack(rest: GatewayClient, *names: str) -> None:
    """Create a template and a stack with running services of this template."""
    assert (await rest.post("/templates", {"name": "web", "spec": WEB})).code == 201
    assert (await rest.post("/instances", {"name": "shop", "scope": "PROJECT"})).code == 201
    await rest.until("/instances/shop", status="running")
    for name in names:
        created = await rest.post(SHOP, {"instance_id": name, "template_service_id": "web"})
        assert created.code == 201, created.text
    for name in names:
        await rest.until(f"{SHOP}/{name}", status="running", ready=True)


async def service_names(rest: GatewayClient) -> list[str]:
    return [service["instance_id"] for service in (await rest.get(SHOP)).body]


async def create_after_removal(rest: GatewayClient, path: str, body: Any) -> GatewayResponse:
    """Repeat a creation until the earlier instance of the same name is gone, which the garbage collector may delay."""
    async with asyncio.timeout(SECONDS):
        while (response := await rest.post(path, body)).code == 409 and "being deleted" in response["detail"]:
            pass
    assert response.code == 201, response.text
    return response


async def test_service_from_creation_to_deletion_and_recreation(
    rest: GatewayClient, live: LiveInstances, workloads: Workloads
) -> None:
    await create_stack(rest, "b", "a")
    view = await rest.get(f"{SHOP}/a")
    deployment = workloads.deployment("shop-a")["metadata"]["name"]
    assert (view["container_name"], live.status("shop-a")["workloadName"]) == (deployment, deployment)
    assert await service_names(rest) == ["b", "a"] or view["created_at"] == (await rest.get(f"{SHOP}/b"))["created_at"]

    variables = [{"name": "LEVEL", "value": "2"}, {"name": "KEY", "value": "s3cret-key", "secret": True}]
    changed = await rest.put(f"{SHOP}/a/env-vars", variables)
    assert (changed.code, changed["override_count"]) == (200, 2)
    await rest.until(f"{SHOP}/a", status="running", ready=True)
    container = lambda: workloads.pod_template("shop-a")["spec"]["containers"][0]  # noqa: E731
    values = lambda: {entry["name"]: entry["value"] for entry in workloads.with_values(container()["env"])}  # noqa: E731
    expected = {"TOKEN": "s3cret-value", "KEY": "s3cret-key"}
    await live.until(lambda: values().items() >= expected.items(), "the pods get both values from Secrets")
    unchanged = await rest.put(f"{SHOP}/a/env-vars", changed["env_vars"])
    assert (unchanged.code, unchanged["env_vars"]) == (200, [variables[0], {"name": "KEY", "secret": True}])
    stored = lambda: live["shop-a"]["spec"]["overrides"]["env"]  # noqa: E731
    kept = lambda: workloads.with_values(stored()) == variables and "s3cret" not in str(stored())  # noqa: E731
    await live.until(kept, "variables that are sent back without their secret values keep the values")

    preview = await rest.get(f"{SHOP}/a/delete-preview")
    owned = {(kind, manifest["metadata"]["name"]) for kind, manifest in workloads.owned_objects("shop-a").items()}
    listed = {key: {(entry["kind"], entry["name"]) for entry in preview[key]} for key in ("removed", "kept")}
    assert listed["removed"] | listed["kept"] == owned
    assert listed["kept"] == {("PersistentVolumeClaim", f"{deployment}-data")}

    assert (await rest.put(f"{SHOP}/b", {"enabled": False, "description": "Rests"})).code == 200
    await rest.until(f"{SHOP}/b", status="stopped", enabled=False)
    for query, expected in {"enabled=false": ["b"], "search=rest": ["b"], "enabled=true": ["a"]}.items():
        assert [service["instance_id"] for service in (await rest.get(f"{SHOP}?{query}")).body] == expected

    rejected = await rest.delete("/templates/web")
    assert (rejected.code, "shop-a, shop-b" in rejected["detail"]) == (409, True)
    assert (await rest.delete(f"{SHOP}/a")).code == 204
    assert (await rest.get(f"{SHOP}/a")).code == 404
    assert await service_names(rest) == ["b"]
    await rest.until("/instances/shop-a", status="terminated")
    await workloads.until_owned("shop-a", "PersistentVolumeClaim")
    claim = workloads.claim("shop-a")["metadata"]["uid"]
    recreated = await create_after_removal(rest, SHOP, {"instance_id": "a", "template_service_id": "web"})
    assert recreated["override_count"] == 0
    await rest.until(f"{SHOP}/a", status="running", ready=True)
    assert workloads.claim("shop-a")["metadata"]["uid"] == claim

    assert (await rest.delete("/instances/shop?cascade=true")).code == 204
    await rest.until("/instances/shop", status="terminated")
    await create_after_removal(rest, "/instances", {"name": "shop", "scope": "PROJECT"})
    await rest.until("/instances/shop", status="running")
    await rest.until("/instances/shop-a", status="terminated", ready=True)
    await rest.until("/instances/shop-b", status="terminated", ready=True)
    await create_after_removal(rest, SHOP, {"instance_id": "a", "template_service_id": "web"})
    await rest.until(f"{SHOP}/a", status="running", ready=True)
    assert workloads.claim("shop-a")["metadata"]["uid"] == claim
    uid = live["shop-a"]["metadata"]["uid"]
    owner_uids = lambda: [  # noqa: E731
        owner["uid"] for owner in workloads.claim("shop-a")["metadata"].get("ownerReferences", ())
    ]
    await live.until(lambda: owner_uids() == [uid], "the recreated service owns the claim")


async def test_invalid_changes_are_rejected_with_the_field(
    rest: GatewayClient, live: LiveInstances, workloads: Workloads
) -> None:
    """The schema, the rules of the CRD, the merged service and the state of the stack can cause a rejection."""
    await create_stack(rest, "a")
    both = {"value": "s3cret-value", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    invalid: list[tuple[str, str, Any, str]] = [
        ("PUT", "a/labels", [{"name": "hopper.dev/x", "value": "1"}], "body -> 0 -> name"),
        ("PUT", "a/env-vars", [{"name": "A", "value": "1"}, {"name": "HOPPER_X"}], "body -> 1 -> name"),
        ("PUT", "a/env-vars", [{"name": "A", **both}], "body -> 0 -> valueFrom"),
        ("PUT", "a/volumes", [{"target": "/data", "type": "bind"}], "body -> 0 -> type"),
        ("PUT", "a/ports", [{"containerPort": 0}], "body -> 0 -> containerPort"),
        ("PUT", "a/domains", [{"domain": "a.example.com", "proxyPort": 9}], "body -> 0 -> proxyPort"),
        ("PUT", "a/healthcheck", {"test": ["curl"]}, "body -> test"),
        ("PUT", "a/config-files", [{"path": "etc/x"}], "body -> 0 -> path"),
        ("PUT", "a/rename", {"instance_id": "x" * 61}, "body -> instance_id"),
        ("POST", "a/duplicate", {"instance_id": "Not-So"}, "body -> instance_id"),
    ]
    for method, path, body, field in invalid:
        response = await rest.call(method, f"{SHOP}/{path}", body)
        assert (response.code, field in [error["field"] for error in response["errors"]]) == (422, True), (
            f"{path}: {response.text}"
        )
        assert "s3cret" not in response.text
    duplicate = await rest.put(f"{SHOP}/a/ports", [{"containerPort": 81}, {"containerPort": 81}])
    assert duplicate.code == 422, duplicate.text
    for spec, field in (
        ({"image": "w", "env": [{"name": "A", **both}]}, "body -> spec -> env -> 0 -> valueFrom"),
        ({"image": "w", "labels": [{"name": "hopper.dev/x"}]}, "body -> spec -> labels -> 0 -> name"),
    ):
        for response in (
            await rest.post("/templates", {"name": "x", "spec": spec}),
            await rest.put("/templates/web", {"spec": spec}),
        ):
            assert (response.code, field in [error["field"] for error in response["errors"]]) == (422, True), (
                response.text
            )
            assert "s3cret" not in response.text
    assert live["shop-a"]["spec"].get("overrides") is None
    assert (await rest.post(SHOP, {"instance_id": "b", "template_service_id": "none"})).code == 400
    assert (await rest.post("/instances/shop/stop?wait=true"))["success"]
    for response in (await rest.get(SHOP), await rest.post(SHOP, {"instance_id": "b", "template_service_id": "web"})):
        assert (response.code, "start it first" in response["detail"]) == (404, True)
    assert (await rest.get(f"{SHOP}/a")).code == 200


class TestConcurrent:
    """Many concurrent calls through two gateways."""

    async def test_duplications_create_one_copy_each(
        self, cluster: Cluster, rest: GatewayClient, live: LiveInstances, workloads: Workloads, tmp_path: Path
    ) -> None:
        await create_stack(rest, "a")
        assert (await rest.put(f"{SHOP}/a/env-vars", [SECRET])).code == 200
        async with running_gateway_process(live.namespace, cluster.kubeconfig, tmp_path / "gateway.log") as process:
            other = process.rest
            await other.until(f"{SHOP}/a", override_count=1)
            both = [rest, other] * 5
            responses = await asyncio.gather(*(gateway.post(f"{SHOP}/a/duplicate", {}) for gateway in both))
            assert Counter(response.code for response in responses) == {201: 10}
            assert {response["instance_id"] for response in responses} == {
                "a-copy",
                *(f"a-copy-{n}" for n in range(2, 11)),
            }
            same = {"instance_id": "b"}
            responses = await asyncio.gather(*(gateway.post(f"{SHOP}/a/duplicate", same) for gateway in both * 5))
            assert Counter(response.code for response in responses) == {201: 1, 409: 49}
            assert all("choose another" in response["detail"] for response in responses if response.code == 409)
        assert not [response.text for response in responses if "s3cret" in response.text]
        copies = ["shop-a-copy", *(f"shop-a-copy-{n}" for n in range(2, 11)), "shop-b"]
        await live.until(lambda: live.names == {"shop", "shop-a", *copies}, "eleven copies")
        for name in copies:
            env = live[name]["spec"]["overrides"]["env"]
            await live.until(lambda env=env: workloads.with_values(env) == [SECRET], "the copy has its own Secret")
        await live.until_phase("Running", *copies, seconds=SECONDS)

    async def test_renames_have_one_winner(
        self, cluster: Cluster, rest: GatewayClient, live: LiveInstances, workloads: Workloads, tmp_path: Path
    ) -> None:
        """Renames of an instance to many names, and of two instances to one name, leave no losing successor behind."""
        await create_stack(rest, "a", "x", "y")
        uid = workloads.claim("shop-a")["metadata"]["uid"]
        async with running_gateway_process(live.namespace, cluster.kubeconfig, tmp_path / "gateway.log") as process:
            both = [rest, process.rest]
            calls = (both[n % 2].put(f"{SHOP}/a/rename", {"instance_id": f"n{n % 25}"}) for n in range(50))
            responses = await asyncio.gather(*calls)
            assert {response.code for response in responses} == {200, 409}, Counter(
                response.code for response in responses
            )
            (winner,) = {response["instance_id"] for response in responses if response.code == 200}
            calls = (both[n % 2].put(f"{SHOP}/{'xy'[n // 25]}/rename", {"instance_id": "z"}) for n in range(50))
            responses = await asyncio.gather(*calls)
            assert {response.code for response in responses} == {200, 409}, Counter(
                response.code for response in responses
            )
            assert len({response["uid"] for response in responses if response.code == 200}) == 1
            await live.until(lambda: "shop-z" in live, "shop-z exists")
            loser = "x" if live["shop-z"]["spec"]["renamedFrom"]["name"] == "shop-y" else "y"
            for gateway in both:
                await gateway.until(
                    f"{SHOP}/{winner}", status="running", ready=True, container_name=f"hopper-shop-{winner}"
                )
                await gateway.until(f"{SHOP}/z", status="running", ready=True)
                assert sorted(await service_names(gateway)) == sorted([winner, "z", loser])
        remaining = {"shop", f"shop-{winner}", "shop-z", f"shop-{loser}"}
        await live.until(lambda: live.names == remaining, f"only {remaining}")
        assert workloads.claim("shop-a")["metadata"]["uid"] == uid
        workloads.assert_pods_never_coexist("shop-a", *(f"shop-n{number}" for number in range(25)))
        assert len(workloads.pod_uids_ever(f"shop-{loser}")) == 1, "the instance whose rename lost has never stopped"


async def test_rename_keeps_volume_overrides_and_history(
    rest: GatewayClient, live: LiveInstances, workloads: Workloads
) -> None:
    await create_stack(rest, "a")
    await rest.put(f"{SHOP}/a/env-vars", [{"name": "LEVEL", "value": "2"}])
    await rest.post("/instances/shop-a/restart?wait=true", {"reason": "once"})
    uid, overrides = workloads.claim("shop-a")["metadata"]["uid"], live["shop-a"]["spec"]["overrides"]
    for before, name in (("a", "b"), ("b", "c"), ("c", "a")):
        response = await rest.put(f"{SHOP}/{before}/rename", {"instance_id": name})
        assert (response.code, response["instance_id"], response["container_name"]) == (
            200,
            name,
            f"hopper-shop-{name}",
        )
        assert (await rest.put(f"{SHOP}/{before}/rename", {"instance_id": name})).code == 200
        assert await service_names(rest) == [name]
        await rest.until(f"{SHOP}/{name}", status="running", ready=True, seconds=SECONDS)
        await live.until_gone(f"shop-{before}")
        assert (await rest.get(f"{SHOP}/{before}")).code == 404
        assert (await rest.put(f"{SHOP}/{before}/rename", {"instance_id": name})).code == 200, (
            "a rename that has already finished"
        )
        claim = workloads.claim("shop-a")
        assert (claim["metadata"]["uid"], owner_names(claim)) == (uid, [f"shop-{name}"])
        assert live[f"shop-{name}"]["spec"]["overrides"] == overrides
        await live.until_phase("Running", f"shop-{name}")
        assert live.status(f"shop-{name}")["restarts"] == 1
        assert workloads.deployment(f"shop-{name}")["metadata"]["name"] == f"hopper-shop-{name}"
        await workloads.until_owned(f"shop-{before}", seconds=SECONDS)
    workloads.assert_pods_never_coexist("shop-a", "shop-b", "shop-c")
    assert any("once" in entry["message"] for entry in live.status("shop-a")["history"])


class GatewayKiller:
    """Killer of a gateway at one of its writes, before or after the write reaches the API server."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy

    def arm(self, kill: Any, write: int, *, before: bool) -> None:
        """Kill at this write, counted from now."""
        writes = 0

        def rule(call: Call) -> Fault | None:
            nonlocal writes
            writes += call.writes_instances
            if not before or writes < write:
                return None
            kill()
            return Fault.RESET

        def on_response(call: Call) -> None:
            if not before and call.writes_instances and writes == write:
                kill()

        self._proxy.rule, self._proxy.on_response = rule, on_response

    def disarm(self) -> None:
        self._proxy.rule, self._proxy.on_response = lambda call: None, lambda call: None


@pytest.mark.chaos
async def test_rename_and_duplication_can_be_repeated_after_the_gateway_is_killed(
    cluster: Cluster, rest: GatewayClient, live: LiveInstances, workloads: Workloads, tmp_path: Path
) -> None:
    """A rename has two writes, a duplication one. The gateway is killed before and after each of them."""
    steps = [(write, before) for write in (1, 2) for before in (True, False)]
    names = [f"a{number}" for number in range(len(steps))]
    await create_stack(rest, *names)
    uids = {name: workloads.claim(f"shop-{name}")["metadata"]["uid"] for name in names}
    log = tmp_path / "gateway.log"
    async with running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (proxy, kubeconfig):
        killer = GatewayKiller(proxy)

        async def call_and_kill(path: str, method: str, body: Any, write: int, *, before: bool) -> None:
            async with running_gateway_process(live.namespace, kubeconfig, log) as victim:
                killer.arm(victim.kill, write, before=before)
                with pytest.raises((aiohttp.ClientError, OSError)):
                    await victim.rest.call(method, path, body)
                await victim.wait()
                killer.disarm()

        for name, (write, before) in zip(names, steps, strict=True):
            renamed = {"instance_id": f"b-{name}"}
            await call_and_kill(f"{SHOP}/{name}/rename", "PUT", renamed, write, before=before)
            assert sum(other in (f"shop-{name}", f"shop-b-{name}") for other in live.names) in (1, 2)
            response = await rest.put(f"{SHOP}/{name}/rename", renamed)
            assert response.code == 200, response.text
        for before in (True, False):
            await call_and_kill(
                f"{SHOP}/b-a0/duplicate", "POST", {"instance_id": f"copy-{before}".lower()}, 1, before=before
            )
        copied = {"instance_id": "copy-true"}
        assert (await rest.post(f"{SHOP}/b-a0/duplicate", copied)).code == 201, (
            "the gateway was killed before the write"
        )
        assert (await rest.post(f"{SHOP}/b-a0/duplicate", {"instance_id": "copy-false"})).code == 409, (
            "the gateway was killed after the write"
        )
    final = [f"b-{name}" for name in names]
    for name in final:
        await rest.until(f"{SHOP}/{name}", status="running", ready=True, seconds=SECONDS)
    await rest.until(f"{SHOP}/copy-false", status="running", ready=True)
    await live.until_gone(*(f"shop-{name}" for name in names))
    assert sorted(await service_names(rest)) == sorted([*final, "copy-true", "copy-false"])
    for name, uid in uids.items():
        assert workloads.claim(f"shop-{name}")["metadata"]["uid"] == uid
        assert owner_names(workloads.claim(f"shop-{name}")) == [f"shop-b-{name}"]
        workloads.assert_pods_never_coexist(f"shop-{name}", f"shop-b-{name}")
