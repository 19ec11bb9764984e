"""Secret values: they appear in their Secret only, and in no other object, metric or log line, even in errors."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import ClientTimeout

from hopper.api.resources import Manifest
from hopper.local import Cluster
from tests.cluster.support.gateway_process import running_gateway_process
from tests.cluster.support.in_process_gateway import GatewayClient, GatewayResponse
from tests.cluster.support.live_instances import LiveInstances, RefusedError, manifest
from tests.cluster.support.operator_process import running_operator_process
from tests.cluster.support.workloads import Workloads

SECRET_VALUE = "canary-7f3a!bird"
NEW_SECRET_VALUE = "canary-9c1e!bird"
FILES = [
    {"path": "/etc/token.conf", "template": True, "content": "token={{ env.TOKEN }}\n"},
    {"path": "/etc/plain.conf", "template": True, "content": "name={{ instance.name }}\n"},
]
SERVICE: dict[str, Any] = {
    "ports": [{"containerPort": 80}],
    "env": [
        {"name": "TOKEN", "value": SECRET_VALUE, "secret": True},
        {"name": "URL", "value": "https://web:$(TOKEN)@example.com"},
    ],
    "configFiles": FILES,
    "command": ["serve", "$(TOKEN)"],
    "args": ["--url=$(URL)", "--token=$(TOKEN)"],
    "healthcheck": {"test": ["CMD-SHELL", 'check "$TOKEN"']},
    "labels": [{"name": "team", "value": "web"}],
}
RUNC_ERROR = (
    "OCI runtime create failed: runc create failed: unable to start container process: error during container init: "
    f'exec: "{SECRET_VALUE}": executable file not found in $PATH: unknown'
)
# Messages in the status of a container whose command is the secret value, by instance.
RUNTIME_MESSAGES: dict[str, dict[str, Any]] = {
    "containerd": {
        "state": {"waiting": {"reason": "RunContainerError", "message": f"failed to create task: {RUNC_ERROR}"}}
    },
    "crio": {
        "state": {
            "waiting": {
                "reason": "CreateContainerError",
                "message": f"container create failed: executable file `{SECRET_VALUE}` not found in $PATH\n",
            }
        }
    },
    "unknown": {
        "state": {"waiting": {"reason": "StartError", "message": f"cannot start {SECRET_VALUE} in the sandbox"}}
    },
    "config": {
        "state": {"waiting": {"reason": "CreateContainerConfigError", "message": f'secret "{SECRET_VALUE}" not found'}}
    },
    "crashloop": {
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": f"back-off 40s restarting {SECRET_VALUE}"}},
        "lastState": {
            "terminated": {
                "exitCode": 128,
                "reason": "StartError",
                "message": f"failed to create containerd task: {RUNC_ERROR}",
            }
        },
    },
}
# Services that are invalid in a field that uses the secret value, by template name.
INVALID_SERVICES: dict[str, dict[str, Any]] = {
    "text": {"configFiles": [{"path": "/etc/x", "template": True, "content": "{{ env.TOKEN | nonsense }}"}]},
    "attribute": {"configFiles": [{"path": "/etc/x", "template": True, "content": "{{ env.TOKEN.nope }}"}]},
    "loop": {
        "configFiles": [
            {
                "path": "/etc/x",
                "template": True,
                "content": "{% for i in range(9999) %}{{ env.TOKEN * 99 }}{% endfor %}",
            }
        ]
    },
    "control": {"env": [{"name": "TOKEN", "value": f"{SECRET_VALUE}\0", "secret": True}]},
    "twice": {"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 80}]},
}


def encodings(value: str) -> set[str]:
    """Return encodings of a value: plain, JSON, URL, hexadecimal, and base64 as a part of any longer text."""
    encoded_values = {value, json.dumps(value)[1:-1], quote(value), value.encode().hex()}
    for before in range(3):
        encoded = b64encode(b"x" * before + value.encode()).decode()
        encoded_values.add(encoded[(before * 8 + 5) // 6 :].rstrip("=")[:-1])
    return encoded_values


def found_encodings(text: str) -> list[str]:
    """Return the encodings of the secret values that a text contains."""
    return [encoded for value in (SECRET_VALUE, NEW_SECRET_VALUE) for encoded in encodings(value) if encoded in text]


def without_user_spec(manifest: Manifest) -> Manifest:
    """Return an object without the spec of instances and templates, in which users write the value."""
    if manifest["kind"] in ("HopperInstance", "HopperTemplate"):
        return {key: value for key, value in manifest.items() if key != "spec"}
    return manifest


async def all_objects(live: LiveInstances) -> list[Manifest]:
    """Return the objects of every kind in the namespace."""
    api_groups = (await live.request("GET", "/apis"))["groups"]
    groups = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in api_groups]
    objects: list[Manifest] = []
    for path in ("/api/v1", *groups):
        try:
            resources = (await live.request("GET", path))["resources"]
        except RefusedError:
            continue  # no API server serves this group
        for resource in resources:
            if resource["namespaced"] and "list" in resource["verbs"]:
                listed = await live.request("GET", f"{path}/namespaces/{live.namespace}/{resource['name']}")
                objects += ({"kind": resource["kind"], **item} for item in listed["items"])
    return objects


async def test_a_secret_value_appears_only_in_its_secret(
    cluster: Cluster, live: LiveInstances, workloads: Workloads, tmp_path: Path
) -> None:
    log = tmp_path / "operator.log"
    async with running_operator_process(live.namespace, cluster.kubeconfig, log, "--verbose") as operator:
        await operator.until_ready()
        await workloads.create_template(**SERVICE)
        await workloads.create_template("crash", **SERVICE | {"image": "crash:1"})
        for name, spec in INVALID_SERVICES.items():
            await workloads.create_template(name, **SERVICE | spec)
        own = {
            "overrides": {"env": [{"name": "TOKEN", "value": NEW_SECRET_VALUE}]}
        }  # secret, because the template says so
        added = {"overrides": {"env": [{"name": "MORE", "value": NEW_SECRET_VALUE, "secret": True}]}}
        await live.create_from(
            manifest("a", templateRef={"name": "web"}),
            manifest("own", templateRef={"name": "web"}, **own),
            manifest("added", templateRef={"name": "web"}, **added),
            manifest("crash", templateRef={"name": "crash"}, restartPolicy={"policy": "Never"}),
            *(manifest(name, templateRef={"name": name}) for name in INVALID_SERVICES),
        )
        stranger = {"kind": "Secret", "metadata": {"name": "hopper-taken"}, "stringData": {"x": "y"}}
        await workloads.create(stranger)
        await live.create("taken", templateRef={"name": "web"})
        await live.until_phase("Running", "a", "own", "added")
        await live.until_phase("Error", "crash")
        for name in INVALID_SERVICES:
            await live.until_reason(name, "Stalled", "ServiceInvalid")
        await live.until_reason("taken", "Stalled", "WriteRefused")

        # Roll out a new value, change it as another field manager, and take an instance through its states.
        await workloads.edit_template(
            env=[{"name": "TOKEN", "value": NEW_SECRET_VALUE, "secret": True}, SERVICE["env"][1]]
        )
        await live.until(
            lambda: workloads.secret_data("a").get("TOKEN") == NEW_SECRET_VALUE, "the Secret has the new value"
        )
        await workloads.edit("Secret", "hopper-a", {"stringData": {"TOKEN": "x"}})
        await live.until(lambda: workloads.secret_data("a").get("TOKEN") == NEW_SECRET_VALUE, "the change is reverted")
        for state in ("Paused", "Stopped", "Running"):
            await live.edit("own", desiredState=state)
            await live.until_phase(state, "own")
        await live.until_event("own", "Stopped")

        assert workloads.secret_data("own") == {
            "TOKEN": NEW_SECRET_VALUE,
            "-etc-token.conf": f"token={NEW_SECRET_VALUE}\n",
        }
        assert workloads.secret_data("added")["MORE"] == NEW_SECRET_VALUE
        assert workloads.secret_data("crash")["TOKEN"] == SECRET_VALUE

        objects = await all_objects(live)
        secrets = [manifest for manifest in objects if manifest["kind"] == "Secret"]
        values = [b64decode(value).decode() for secret in secrets for value in secret.get("data", {}).values()]
        assert sum(bool(found_encodings(value)) for value in values) >= 6
        others = [manifest for manifest in objects if manifest["kind"] != "Secret"]
        kinds = {manifest["kind"] for manifest in others}
        assert kinds >= {"Pod", "ReplicaSet", "Deployment", "ConfigMap", "HopperInstance", "HopperTemplate", "Event"}
        assert list(leaks(others)) == []
        for secret in secrets:
            assert found_encodings(json.dumps(secret["metadata"])) == []
        assert found_encodings(await operator.metrics()) == []
        assert await operator.stop() == 0
        log_text = await asyncio.to_thread(log.read_text)
        assert "DEBUG" in log_text
        assert [line for line in log_text.splitlines() if found_encodings(line)] == []


async def test_messages_of_the_container_runtime_are_not_copied(
    cluster: Cluster, live: LiveInstances, workloads: Workloads, tmp_path: Path
) -> None:
    log, gateway_log = tmp_path / "operator.log", tmp_path / "gateway.log"
    template = SERVICE | {"image": "held:1", "command": ["$(TOKEN)"]}
    async with (
        running_operator_process(live.namespace, cluster.kubeconfig, log, "--verbose") as operator,
        running_gateway_process(live.namespace, cluster.kubeconfig, gateway_log, "--verbose") as gateway,
        streamed_events(gateway.rest) as events,
    ):
        await operator.until_ready()
        await workloads.create_template("held", **template)
        never = {"policy": "Never"}
        await live.create("shop", "Project")
        for name in RUNTIME_MESSAGES:
            await live.create(name, "Orchestration", "shop", templateRef={"name": "held"}, restartPolicy=never)
        for name, container in RUNTIME_MESSAGES.items():
            (pod,) = (await workloads.until_pods(name, 1)).values()
            await live.until(lambda name=name: workloads.deployment(name)["status"].get("updatedReplicas"), "a pod")
            status = {"name": "service", "image": "held:1", "imageID": "", "ready": False, "restartCount": 1}
            # The simulated node reverts changes to the status of a pending pod.
            patch = {"phase": "Running", "containerStatuses": [status | container]}
            await workloads.edit_status("Pod", pod["metadata"]["name"], patch)
        await live.until_phase("Error", *RUNTIME_MESSAGES)

        messages = {name: live.condition(name, "WorkloadAvailable")["message"] for name in RUNTIME_MESSAGES}
        for name in ("containerd", "crio", "crashloop"):
            assert "the command is not in the $PATH of the image" in messages[name]
        for name in ("unknown", "config", "crashloop"):
            assert "see kubectl describe pod hopper-" in messages[name]
        for name in RUNTIME_MESSAGES:
            await live.until_event(name, "Error")
            await gateway.rest.until(f"/instances/{name}", status="error")
        pods = [item for item in await all_objects(live) if item["kind"] == "Pod"]
        assert len([pod for pod in pods if found_encodings(json.dumps(pod["status"]))]) == len(RUNTIME_MESSAGES)
        assert list(leaks([item for item in await all_objects(live) if item["kind"] not in ("Pod", "Secret")])) == []
        answers = [answer async for answer in rest_answers(gateway.rest, RUNTIME_MESSAGES)]
        assert any("the command is not in the $PATH" in answer.text for answer in answers)
        assert [answer.text for answer in answers if found_encodings(answer.text)] == []
        assert b"RunContainerError" in events
        assert found_encodings(events.decode()) == []
        assert found_encodings(await operator.metrics()) == []
        assert await operator.stop() == 0
    for path in (log, gateway_log):
        text = await asyncio.to_thread(path.read_text)
        assert "DEBUG" in text
        assert [line for line in text.splitlines() if found_encodings(line)] == []


async def rest_answers(rest: GatewayClient, instances: Iterable[str]) -> AsyncIterator[GatewayResponse]:
    """Yield the answers of all GET routes that are described in the OpenAPI document, for all these instances."""
    async with rest.session.get(f"{rest.url}/openapi.json") as response:
        paths = (await response.json())["paths"]
    for path, operations in paths.items():
        if "get" not in operations or "text/event-stream" in operations["get"]["responses"]["200"]["content"]:
            continue
        relative = path.removeprefix("/api/v1").replace("{project_id}", "shop")
        relative = relative.replace("/templates/{name}", "/templates/held").replace("/stacks/{name}", "/stacks/shop")
        for name in instances:
            yield await rest.get(relative.replace("{id}", name).replace("{instance}", name))


@asynccontextmanager
async def streamed_events(rest: GatewayClient) -> AsyncIterator[bytearray]:
    """Collect the server-sent events of the registry during the context."""
    received = bytearray()

    async def read() -> None:
        timeout = ClientTimeout(total=None)
        async with rest.session.get(f"{rest.url}/api/v1/registry/events", timeout=timeout) as response:
            async for chunk in response.content.iter_any():
                received.extend(chunk)

    reader = asyncio.create_task(read())
    try:
        yield received
    finally:
        reader.cancel()
        await asyncio.wait([reader])


def leaks(objects: list[Manifest]) -> Iterator[str]:
    """Yield a line for each object that contains a secret value."""
    for item in objects:
        if encodings := found_encodings(json.dumps(without_user_spec(item))):
            yield f"{item['kind']} {item['metadata']['name']}: {encodings}"


def test_encoded_values_are_found() -> None:
    for before in ("", "a", "ab", "abc"):
        for after in ("", "z", "zz"):
            text = f"{before}{SECRET_VALUE}{after}"
            assert found_encodings(text)
            assert found_encodings(b64encode(text.encode()).decode())
            assert found_encodings(json.dumps({"x": text}))
    assert not found_encodings("canary")
