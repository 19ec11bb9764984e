"""Templates and stacks through the REST API, on a real API server, beside a working operator."""

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
SECONDS = 90  # garbage collection has to know our kinds first
SECRET = {"name": "TOKEN", "value": "s3cret-value", "secret": True}
WEB = {
    "image": "web:1",
    "ports": [{"containerPort": 80}],
    "volumes": [{"target": "/data", "size": "1Mi"}],
    "env": [{"name": "LEVEL", "value": "1"}, SECRET],
}


async def a_stack(rest: GatewayClient, *names: str) -> None:
    """Have an active stack, a template, and services of that template, running."""
    assert (await rest.post("/templates", {"name": "web", "spec": WEB})).code == 201
    assert (await rest.post("/instances", {"name": "shop", "scope": "PROJECT"})).code == 201
    await rest.until("/instances/shop", status="running")
    for name in names:
        made = await rest.post(SHOP, {"instance_id": name, "template_service_id": "web"})
        assert made.code == 201, made.text
    for name in names:
        await rest.until(f"{SHOP}/{name}", status="running", ready=True)


async def names_in(rest: GatewayClient) -> list[str]:
    return [it["instance_id"] for it in (await rest.get(SHOP)).body]


async def once_removed(rest: GatewayClient, path: str, body: Any) -> GatewayResponse:
    """Have something created whose predecessor may take a while to go: garbage collection has to let go of it."""
    async with asyncio.timeout(SECONDS):
        while (answer := await rest.post(path, body)).code == 409 and "being removed" in answer["detail"]:
            pass
    assert answer.code == 201, answer.text
    return answer


async def test_a_service_from_creation_to_its_end(
    rest: GatewayClient, live: LiveInstances, workloads: Workloads
) -> None:
    await a_stack(rest, "b", "a")
    seen = await rest.get(f"{SHOP}/a")
    deployment = workloads.deployment("shop-a")["metadata"]["name"]
    assert (seen["container_name"], live.status("shop-a")["workloadName"]) == (deployment, deployment)
    assert await names_in(rest) == ["b", "a"] or seen["created_at"] == (await rest.get(f"{SHOP}/b"))["created_at"]

    own = [{"name": "LEVEL", "value": "2"}, {"name": "KEY", "value": "s3cret-key", "secret": True}]
    changed = await rest.put(f"{SHOP}/a/env-vars", own)
    assert (changed.code, changed["override_count"]) == (200, 2)
    await rest.until(f"{SHOP}/a", status="running", ready=True)
    secret = lambda: workloads.secret_data("shop-a")  # noqa: E731
    await live.until(lambda: secret() == {"TOKEN": "s3cret-value", "KEY": "s3cret-key"}, "the secrets are there")
    again = await rest.put(f"{SHOP}/a/env-vars", changed["env_vars"])
    assert (again.code, again["env_vars"]) == (200, [own[0], {"name": "KEY", "secret": True}])
    kept = lambda: live["shop-a"]["spec"]["overrides"]["env"] == own  # noqa: E731
    await live.until(kept, "what comes back without its secret loses none")

    preview = await rest.get(f"{SHOP}/a/delete-preview")
    owned = {(kind, it["metadata"]["name"]) for kind, it in workloads.owned_objects("shop-a").items()}
    listed = {key: {(it["kind"], it["name"]) for it in preview[key]} for key in ("removed", "kept")}
    assert listed["removed"] | listed["kept"] == owned
    assert listed["kept"] == {("PersistentVolumeClaim", f"{deployment}-data")}

    assert (await rest.put(f"{SHOP}/b", {"enabled": False, "description": "Rests"})).code == 200
    await rest.until(f"{SHOP}/b", status="stopped", enabled=False)
    for query, expected in {"enabled=false": ["b"], "search=rest": ["b"], "enabled=true": ["a"]}.items():
        assert [it["instance_id"] for it in (await rest.get(f"{SHOP}?{query}")).body] == expected

    refused = await rest.delete("/templates/web")
    assert (refused.code, "shop-a, shop-b" in refused["detail"]) == (409, True)
    assert (await rest.delete(f"{SHOP}/a")).code == 204
    assert (await rest.get(f"{SHOP}/a")).code == 404
    assert await names_in(rest) == ["b"]
    await rest.until("/instances/shop-a", status="terminated")
    await workloads.until_owned("shop-a", "PersistentVolumeClaim")
    claim = workloads.claim("shop-a")["metadata"]["uid"]
    anew = await once_removed(rest, SHOP, {"instance_id": "a", "template_service_id": "web"})
    assert anew["override_count"] == 0
    await rest.until(f"{SHOP}/a", status="running", ready=True)
    assert workloads.claim("shop-a")["metadata"]["uid"] == claim

    assert (await rest.delete("/instances/shop?cascade=true")).code == 204
    await rest.until("/instances/shop", status="terminated")
    await once_removed(rest, "/instances", {"name": "shop", "scope": "PROJECT"})
    await rest.until("/instances/shop", status="running")
    await rest.until("/instances/shop-a", status="terminated", ready=True)
    await rest.until("/instances/shop-b", status="terminated", ready=True)
    await once_removed(rest, SHOP, {"instance_id": "a", "template_service_id": "web"})
    await rest.until(f"{SHOP}/a", status="running", ready=True)
    assert workloads.claim("shop-a")["metadata"]["uid"] == claim
    uid = live["shop-a"]["metadata"]["uid"]
    owned_by = lambda: [it["uid"] for it in workloads.claim("shop-a")["metadata"].get("ownerReferences", ())]  # noqa: E731
    await live.until(lambda: owned_by() == [uid], "the volume is its own")


async def test_what_is_refused(rest: GatewayClient, live: LiveInstances, workloads: Workloads) -> None:
    """By the schema, by the rules of the API server, by what template and overrides make together, and by the stack."""
    await a_stack(rest, "a")
    both = {"value": "s3cret-value", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    wrong: list[tuple[str, str, Any, str]] = [
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
    for method, path, body, field in wrong:
        answer = await rest.call(method, f"{SHOP}/{path}", body)
        assert (answer.code, field in [it["field"] for it in answer["errors"]]) == (422, True), f"{path}: {answer.text}"
        assert "s3cret" not in answer.text
    twice = await rest.put(f"{SHOP}/a/ports", [{"containerPort": 81}, {"containerPort": 81}])
    assert twice.code == 422, twice.text
    for spec, field in (
        ({"image": "w", "env": [{"name": "A", **both}]}, "body -> spec -> env -> 0 -> valueFrom"),
        ({"image": "w", "labels": [{"name": "hopper.dev/x"}]}, "body -> spec -> labels -> 0 -> name"),
    ):
        for answer in (
            await rest.post("/templates", {"name": "x", "spec": spec}),
            await rest.put("/templates/web", {"spec": spec}),
        ):
            assert (answer.code, field in [it["field"] for it in answer["errors"]]) == (422, True), answer.text
            assert "s3cret" not in answer.text
    assert live["shop-a"]["spec"].get("overrides") is None
    assert (await rest.post(SHOP, {"instance_id": "b", "template_service_id": "none"})).code == 400
    assert (await rest.post("/instances/shop/stop?wait=true"))["success"]
    for answer in (await rest.get(SHOP), await rest.post(SHOP, {"instance_id": "b", "template_service_id": "web"})):
        assert (answer.code, "start it first" in answer["detail"]) == (404, True)
    assert (await rest.get(f"{SHOP}/a")).code == 200


class TestManyAtOnce:
    """Fifty calls through two gateways."""

    async def test_copies(
        self, cluster: Cluster, rest: GatewayClient, live: LiveInstances, workloads: Workloads, tmp_path: Path
    ) -> None:
        await a_stack(rest, "a")
        assert (await rest.put(f"{SHOP}/a/env-vars", [SECRET])).code == 200
        async with running_gateway_process(live.namespace, cluster.kubeconfig, tmp_path / "gateway.log") as process:
            other = process.rest
            await other.until(f"{SHOP}/a", override_count=1)
            both = [rest, other] * 5
            answers = await asyncio.gather(*(it.post(f"{SHOP}/a/duplicate", {}) for it in both))
            assert Counter(it.code for it in answers) == {201: 10}
            assert {it["instance_id"] for it in answers} == {"a-copy", *(f"a-copy-{n}" for n in range(2, 11))}
            same = {"instance_id": "b"}
            answers = await asyncio.gather(*(it.post(f"{SHOP}/a/duplicate", same) for it in both * 5))
            assert Counter(it.code for it in answers) == {201: 1, 409: 49}
            assert all("choose another" in it["detail"] for it in answers if it.code == 409)
        assert not [it.text for it in answers if "s3cret" in it.text]
        copies = ["shop-a-copy", *(f"shop-a-copy-{n}" for n in range(2, 11)), "shop-b"]
        await live.until(lambda: live.names == {"shop", "shop-a", *copies}, "eleven copies")
        for name in copies:
            assert live[name]["spec"]["overrides"] == live["shop-a"]["spec"]["overrides"]
        await live.until_phase("Running", *copies, seconds=SECONDS)

    async def test_renames(
        self, cluster: Cluster, rest: GatewayClient, live: LiveInstances, workloads: Workloads, tmp_path: Path
    ) -> None:
        """Of one instance to many names, and of many instances to one name: one wins each, and nothing is left over."""
        await a_stack(rest, "a", "x", "y")
        uid = workloads.claim("shop-a")["metadata"]["uid"]
        async with running_gateway_process(live.namespace, cluster.kubeconfig, tmp_path / "gateway.log") as process:
            both = [rest, process.rest]
            calls = (both[n % 2].put(f"{SHOP}/a/rename", {"instance_id": f"n{n % 25}"}) for n in range(50))
            answers = await asyncio.gather(*calls)
            assert {it.code for it in answers} == {200, 409}, Counter(it.code for it in answers)
            (winner,) = {it["instance_id"] for it in answers if it.code == 200}
            calls = (both[n % 2].put(f"{SHOP}/{'xy'[n // 25]}/rename", {"instance_id": "z"}) for n in range(50))
            answers = await asyncio.gather(*calls)
            assert {it.code for it in answers} == {200, 409}, Counter(it.code for it in answers)
            assert len({it["uid"] for it in answers if it.code == 200}) == 1
            await live.until(lambda: "shop-z" in live, "shop-z is there")
            loser = "x" if live["shop-z"]["spec"]["renamedFrom"]["name"] == "shop-y" else "y"
            for one in both:
                await one.until(
                    f"{SHOP}/{winner}", status="running", ready=True, container_name=f"hopper-shop-{winner}"
                )
                await one.until(f"{SHOP}/z", status="running", ready=True)
                assert sorted(await names_in(one)) == sorted([winner, "z", loser])
        left = {"shop", f"shop-{winner}", "shop-z", f"shop-{loser}"}
        await live.until(lambda: live.names == left, f"{left} are left")
        assert workloads.claim("shop-a")["metadata"]["uid"] == uid
        workloads.assert_pods_never_coexist("shop-a", *(f"shop-n{number}" for number in range(25)))
        assert len(workloads.pod_uids_ever(f"shop-{loser}")) == 1, "who has lost did not even stop"


async def test_renamed_with_all_it_has(rest: GatewayClient, live: LiveInstances, workloads: Workloads) -> None:
    await a_stack(rest, "a")
    await rest.put(f"{SHOP}/a/env-vars", [{"name": "LEVEL", "value": "2"}])
    await rest.post("/instances/shop-a/restart?wait=true", {"reason": "once"})
    uid, overrides = workloads.claim("shop-a")["metadata"]["uid"], live["shop-a"]["spec"]["overrides"]
    for before, name in (("a", "b"), ("b", "c"), ("c", "a")):
        answer = await rest.put(f"{SHOP}/{before}/rename", {"instance_id": name})
        assert (answer.code, answer["instance_id"], answer["container_name"]) == (200, name, f"hopper-shop-{name}")
        assert (await rest.put(f"{SHOP}/{before}/rename", {"instance_id": name})).code == 200
        assert await names_in(rest) == [name]
        await rest.until(f"{SHOP}/{name}", status="running", ready=True, seconds=SECONDS)
        await live.until_gone(f"shop-{before}")
        assert (await rest.get(f"{SHOP}/{before}")).code == 404
        assert (await rest.put(f"{SHOP}/{before}/rename", {"instance_id": name})).code == 200, "when all is over, too"
        claim = workloads.claim("shop-a")
        assert (claim["metadata"]["uid"], owner_names(claim)) == (uid, [f"shop-{name}"])
        assert live[f"shop-{name}"]["spec"]["overrides"] == overrides
        await live.until_phase("Running", f"shop-{name}")
        assert live.status(f"shop-{name}")["restarts"] == 1
        assert workloads.deployment(f"shop-{name}")["metadata"]["name"] == f"hopper-shop-{name}"
        await workloads.until_owned(f"shop-{before}", seconds=SECONDS)
    workloads.assert_pods_never_coexist("shop-a", "shop-b", "shop-c")
    assert any("once" in it["message"] for it in live.status("shop-a")["history"])


class Deadly:
    """Kills a gateway at a write of its, before the API server hears of it or right after."""

    def __init__(self, between: FaultProxy) -> None:
        self._between = between

    def arm(self, kill: Any, write: int, *, before: bool) -> None:
        """Kill at that write, counted from now."""
        seen = 0

        def rule(call: Call) -> Fault | None:
            nonlocal seen
            seen += call.writes_instances
            if not before or seen < write:
                return None
            kill()
            return Fault.RESET

        def on_answer(call: Call) -> None:
            if not before and call.writes_instances and seen == write:
                kill()

        self._between.rule, self._between.on_response = rule, on_answer

    def disarm(self) -> None:
        self._between.rule, self._between.on_response = lambda call: None, lambda call: None


@pytest.mark.chaos
async def test_killed_at_any_step(
    cluster: Cluster, rest: GatewayClient, live: LiveInstances, workloads: Workloads, tmp_path: Path
) -> None:
    """A rename has two writes, a copy one. Whatever the gateway was at, the next one can be asked for the same."""
    steps = [(write, before) for write in (1, 2) for before in (True, False)]
    names = [f"a{number}" for number in range(len(steps))]
    await a_stack(rest, *names)
    uids = {it: workloads.claim(f"shop-{it}")["metadata"]["uid"] for it in names}
    log = tmp_path / "gateway.log"
    async with running_fault_proxy(local_cluster_or_skip(cluster), tmp_path) as (between, kubeconfig):
        deadly = Deadly(between)

        async def die(path: str, method: str, body: Any, write: int, *, before: bool) -> None:
            async with running_gateway_process(live.namespace, kubeconfig, log) as victim:
                deadly.arm(victim.kill, write, before=before)
                with pytest.raises((aiohttp.ClientError, OSError)):
                    await victim.rest.call(method, path, body)
                await victim.wait()
                deadly.disarm()

        for name, (write, before) in zip(names, steps, strict=True):
            renamed = {"instance_id": f"b-{name}"}
            await die(f"{SHOP}/{name}/rename", "PUT", renamed, write, before=before)
            assert sum(it in (f"shop-{name}", f"shop-b-{name}") for it in live.names) in (1, 2)
            answer: GatewayResponse = await rest.put(f"{SHOP}/{name}/rename", renamed)
            assert answer.code == 200, answer.text
        for before in (True, False):
            await die(f"{SHOP}/b-a0/duplicate", "POST", {"instance_id": f"copy-{before}".lower()}, 1, before=before)
        copied = {"instance_id": "copy-true"}
        assert (await rest.post(f"{SHOP}/b-a0/duplicate", copied)).code == 201, "it never was"
        assert (await rest.post(f"{SHOP}/b-a0/duplicate", {"instance_id": "copy-false"})).code == 409, "it is there"
    final = [f"b-{name}" for name in names]
    for name in final:
        await rest.until(f"{SHOP}/{name}", status="running", ready=True, seconds=SECONDS)
    await rest.until(f"{SHOP}/copy-false", status="running", ready=True)
    await live.until_gone(*(f"shop-{name}" for name in names))
    assert sorted(await names_in(rest)) == sorted([*final, "copy-true", "copy-false"])
    for name, uid in uids.items():
        assert workloads.claim(f"shop-{name}")["metadata"]["uid"] == uid
        assert owner_names(workloads.claim(f"shop-{name}")) == [f"shop-b-{name}"]
        workloads.assert_pods_never_coexist(f"shop-{name}", f"shop-b-{name}")
