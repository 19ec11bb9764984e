"""A secret value is in its Secret, and nowhere else: not in what went well, and not in what went wrong."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hopper.api.resources import Manifest
from hopper.local import Cluster
from tests.cluster.support.live_instances import LiveInstances, RefusedError, manifest
from tests.cluster.support.operator_process import running_operator_process
from tests.cluster.support.workloads import Workloads

CANARY = "canary-7f3a!bird"
OTHER = "canary-9c1e!bird"
FILES = [
    {"path": "/etc/token.conf", "template": True, "content": "token={{ env.TOKEN }}\n"},
    {"path": "/etc/plain.conf", "template": True, "content": "name={{ instance.name }}\n"},
]
SERVICE: dict[str, Any] = {
    "ports": [{"containerPort": 80}],
    "env": [
        {"name": "TOKEN", "value": CANARY, "secret": True},
        {"name": "URL", "value": "https://web:$(TOKEN)@example.com"},
    ],
    "configFiles": FILES,
}
# What goes wrong close to a secret value, by the name of a template.
WRONG: dict[str, dict[str, Any]] = {
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
    "control": {"env": [{"name": "TOKEN", "value": f"{CANARY}\0", "secret": True}]},
    "twice": {"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 80}]},
}


def disguises(value: str) -> set[str]:
    """Return what a value may look like: plain, in JSON, in a URL, and in base64 whatever comes before and after."""
    found = {value, json.dumps(value)[1:-1], quote(value), value.encode().hex()}
    for before in range(3):
        encoded = b64encode(b"x" * before + value.encode()).decode()
        found.add(encoded[(before * 8 + 5) // 6 :].rstrip("=")[:-1])
    return found


def tells(text: str) -> list[str]:
    return [it for value in (CANARY, OTHER) for it in disguises(value) if it in text]


def without_own_words(it: Manifest) -> Manifest:
    """Return an object without what its author has written, where the value may well be."""
    if it["kind"] in ("HopperInstance", "HopperTemplate"):
        return {key: value for key, value in it.items() if key != "spec"}
    return it


async def everything(live: LiveInstances) -> list[Manifest]:
    """Return every object of every kind that there is in the namespace."""
    groups = [
        f"/apis/{it['preferredVersion']['groupVersion']}" for it in (await live.request("GET", "/apis"))["groups"]
    ]
    found: list[Manifest] = []
    for path in ("/api/v1", *groups):
        try:
            resources = (await live.request("GET", path))["resources"]
        except RefusedError:
            continue  # a group that nobody serves
        for it in resources:
            if it["namespaced"] and "list" in it["verbs"]:
                listed = await live.request("GET", f"{path}/namespaces/{live.namespace}/{it['name']}")
                found += ({"kind": it["kind"], **item} for item in listed["items"])
    return found


async def test_a_secret_value_is_in_its_secret_only(
    cluster: Cluster, live: LiveInstances, workloads: Workloads, tmp_path: Path
) -> None:
    log = tmp_path / "operator.log"
    async with running_operator_process(live.namespace, cluster.kubeconfig, log, "--verbose") as operator:
        await operator.until_ready()
        await workloads.create_template(**SERVICE)
        await workloads.create_template("crash", **SERVICE | {"image": "crash:1"})
        for name, spec in WRONG.items():
            await workloads.create_template(name, **SERVICE | spec)
        own = {"overrides": {"env": [{"name": "TOKEN", "value": OTHER}]}}  # stays secret as in the template
        added = {"overrides": {"env": [{"name": "MORE", "value": OTHER, "secret": True}]}}
        await live.create_from(
            manifest("a", templateRef={"name": "web"}),
            manifest("own", templateRef={"name": "web"}, **own),
            manifest("added", templateRef={"name": "web"}, **added),
            manifest("crash", templateRef={"name": "crash"}, restartPolicy={"policy": "Never"}),
            *(manifest(name, templateRef={"name": name}) for name in WRONG),
        )
        stranger = {"kind": "Secret", "metadata": {"name": "hopper-taken"}, "stringData": {"x": "y"}}
        await workloads.create(stranger)
        await live.create("taken", templateRef={"name": "web"})
        await live.until_phase("Running", "a", "own", "added")
        await live.until_phase("Error", "crash")
        for name in WRONG:
            await live.until_reason(name, "Stalled", "ServiceInvalid")
        await live.until_reason("taken", "Stalled", "WriteRefused")

        # A new value rolls out, somebody tampers with it, and an instance moves through its states.
        await workloads.edit_template(env=[{"name": "TOKEN", "value": OTHER, "secret": True}, SERVICE["env"][1]])
        await live.until(lambda: workloads.secret_data("a").get("TOKEN") == OTHER, "the new value")
        await workloads.edit("Secret", "hopper-a", {"stringData": {"TOKEN": "x"}})
        await live.until(lambda: workloads.secret_data("a").get("TOKEN") == OTHER, "healed")
        for state in ("Paused", "Stopped", "Running"):
            await live.edit("own", desiredState=state)
            await live.until_phase(state, "own")
        await live.until_event("own", "Stopped")

        assert workloads.secret_data("own") == {"TOKEN": OTHER, "-etc-token.conf": f"token={OTHER}\n"}
        assert workloads.secret_data("added")["MORE"] == OTHER
        assert workloads.secret_data("crash")["TOKEN"] == CANARY

        objects = await everything(live)
        secrets = [it for it in objects if it["kind"] == "Secret"]
        assert (
            sum(bool(tells(b64decode(value).decode())) for it in secrets for value in it.get("data", {}).values()) >= 6
        )
        others = [it for it in objects if it["kind"] != "Secret"]
        kinds = {it["kind"] for it in others}
        assert kinds >= {"Pod", "ReplicaSet", "Deployment", "ConfigMap", "HopperInstance", "HopperTemplate", "Event"}
        assert list(leaks(others)) == []
        for it in secrets:
            assert tells(json.dumps(it["metadata"])) == []
        assert tells(await operator.metrics()) == []
        assert await operator.stop() == 0
        text = await asyncio.to_thread(log.read_text)
        assert "DEBUG" in text
        assert [line for line in text.splitlines() if tells(line)] == []


def leaks(objects: list[Manifest]) -> Iterator[str]:
    for it in objects:
        if found := tells(json.dumps(without_own_words(it))):
            yield f"{it['kind']} {it['metadata']['name']}: {found}"


def test_disguises_are_seen_through() -> None:
    for before in ("", "a", "ab", "abc"):
        for after in ("", "z", "zz"):
            text = f"{before}{CANARY}{after}"
            assert tells(text)
            assert tells(b64encode(text.encode()).decode())
            assert tells(json.dumps({"x": text}))
    assert not tells("canary")
