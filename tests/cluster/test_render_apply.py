"""What is rendered, on a real API server: accepted, recognised when it comes back, healed when it was changed."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from hopper.api.enums import InstanceType
from hopper.api.instance import HopperInstance
from hopper.api.names import ANNOTATION_REVISION, FIELD_MANAGER
from hopper.domain.service.blueprint import Blueprint, prepare_blueprint
from hopper.domain.service.drift import drifted_paths, foreign_field_patch
from hopper.domain.service.render import Manifest, Mode, render_objects
from tests.cluster.support.live_instances import MERGE_PATCH, RefusedError, fresh_namespace
from tests.cluster.support.owned_objects import LiveObjects
from tests.unit.domain.service.samples import FULL, template


@pytest.fixture
async def objects(kubeconfig: str) -> AsyncIterator[LiveObjects]:
    """A fresh namespace in which no operator works, and in which pods must be `restricted`."""
    async with fresh_namespace() as live:
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
        await live.request(
            "PATCH", f"/api/v1/namespaces/{live.namespace}", {"metadata": {"labels": labels}}, MERGE_PATCH
        )
        yield LiveObjects(live)


def made(instance: HopperInstance, spec: dict[str, Any]) -> Blueprint:
    found = prepare_blueprint(instance, (), template(spec))
    assert found.problems == ()
    return found


PORT = [{"containerPort": 80}]
SERVICES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing but an image": ({}, {}),
    "everything": ({}, FULL),
    "everything, ephemeral": ({"type": "Ephemeral"}, FULL),
    "everything, a singleton": ({"type": "Singleton"}, FULL),
    "root": ({}, {"securityProfile": "Baseline", "user": "0", "ports": PORT}),
    "three pods": ({"replicas": 3}, {"ports": PORT, "env": [{"name": "A", "value": "1"}]}),
    "odd quantities": (
        {},
        {
            "resources": {"requests": {"cpu": "0.25", "memory": "0.5Ki"}, "limits": {"cpu": "1500m", "memory": "1.5G"}},
            "volumes": [{"target": "/a", "size": "1.25Ki"}, {"target": "/b", "type": "tmpfs", "size": "1000k"}],
        },
    ),
    "no healthcheck": ({}, {"healthcheck": {"test": ["NONE"]}}),
    "awkward paths": (
        {},
        {
            "configFiles": [
                {"path": f"/etc/{name}", "content": name} for name in ("a b", "ä.conf", "a-b", ".c", "..d")
            ],
            "volumes": [{"target": "/var/Lib/X_y/"}, {"target": "/dev/shm", "type": "tmpfs"}],
        },
    ),
}


@pytest.mark.parametrize("name", SERVICES)
async def test_is_accepted_and_recognised(objects: LiveObjects, name: str) -> None:
    fields, spec = SERVICES[name]
    blueprint = made(await objects.create_instance(**fields), spec)
    for rendered in (one for mode in Mode for one in render_objects(blueprint, mode).objects):
        before = copy.deepcopy(rendered)
        live = await objects.apply(rendered, fieldValidation="Strict")
        assert drifted_paths(rendered, live) == ()
        assert foreign_field_patch(rendered, live) == []
        again = await objects.apply(rendered)
        assert again["metadata"].get("generation") == live["metadata"].get("generation")
        assert rendered == before


async def test_pods_are_restricted(objects: LiveObjects, subtests: pytest.Subtests) -> None:
    """The pod is what Pod Security looks at; of a Deployment it only warns."""
    path = f"/api/v1/namespaces/{objects.namespace}/pods?dryRun=All&fieldValidation=Strict"
    instance = await objects.create_instance()
    for name, (_, spec) in SERVICES.items():
        with subtests.test(name):
            pod = pod_of(made(instance, spec))
            if name == "root":
                with pytest.raises(RefusedError, match="violates PodSecurity"):
                    await objects.live.request("POST", path, pod)
            else:
                assert (await objects.live.request("POST", path, pod))["kind"] == "Pod"


def pod_of(blueprint: Blueprint) -> Manifest:
    deployment = next(one for one in render_objects(blueprint, Mode.UP).objects if one["kind"] == "Deployment")
    pod = deployment["spec"]["template"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"] | {"name": "try"}, "spec": pod["spec"]}


def render_as(instance: HopperInstance, fields: dict[str, Any], spec: dict[str, Any]) -> dict[str, Manifest]:
    """Render what the instance would have with these fields in its own spec."""
    changed = replace(instance, spec=replace(instance.spec, **fields))
    return {one["kind"]: one for one in render_objects(made(changed, spec), Mode.UP).objects}


ALLOCATED = ("clusterIP", "clusterIPs", "volumeName")


def content(manifest: Manifest) -> Manifest:
    """Return what matters of an object: everything but what is allocated or counted for each object."""
    found = {key: value for key, value in manifest.items() if key not in ("metadata", "status")}
    if "spec" in found:
        found["spec"] = {key: value for key, value in found["spec"].items() if key not in ALLOCATED}
    labels, notes = manifest["metadata"]["labels"], manifest["metadata"].get("annotations", {})
    return found | {"labels": labels, "revision": notes.get(ANNOTATION_REVISION)}


OTHER = {
    **FULL,
    "command": None,
    "user": None,
    "resources": {"limits": {"memory": "1Gi"}},
    "ports": [{"containerPort": 80, "protocol": "UDP"}, {"containerPort": 443, "hostPort": 80}],
    "volumes": [
        {"target": "/data", "type": "tmpfs"},
        {"target": "/cache", "source": "web_data", "size": "512Mi"},
        {"target": "/settings", "source": "settings"},
        {"target": "/old", "type": "config", "source": "archive"},
    ],
    "env": [
        {"name": "TZ", "value": "$(LEVEL)", "secret": True},
        {"name": "PASSWORD", "value": "$(AAA)"},
        {"name": "AAA", "value": "$(LEVEL)"},
        {"name": "TOKEN", "valueFrom": {"configMapKeyRef": {"name": "tokens", "key": "web"}}},
        {"name": "LEVEL", "value": "1"},
    ],
    "labels": [{"name": "plain", "value": "x"}],
    "domains": [],
    "healthcheck": {"test": ["CMD", "true"]},
    "configFiles": [{"path": "/etc/web/pass_word", "content": "none"}],
}
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "full": ({}, FULL),
    "other": ({}, OTHER),
    "ephemeral": ({"type": InstanceType.EPHEMERAL}, FULL),
    "other ephemeral": ({"type": InstanceType.EPHEMERAL}, OTHER),
    "baseline": ({}, {**FULL, "securityProfile": "Baseline"}),
    "minimal": ({}, {}),
}


@pytest.mark.parametrize("before", CHANGES)
async def test_a_change_leaves_nothing_behind(objects: LiveObjects, before: str, subtests: pytest.Subtests) -> None:
    """The way from one service to another ends where that other one would have begun."""
    for number, after in enumerate(CHANGES):
        with subtests.test(after):
            instance = await objects.create_instance(f"web-{number}")
            first, second = render_as(instance, *CHANGES[before]), render_as(instance, *CHANGES[after])
            anew = {kind: await objects.apply(one, dryRun="All") for kind, one in second.items()}
            for one in first.values():
                await objects.apply(one)
            for kind, one in second.items():
                if kind in first and content(first[kind]) != content(one):
                    assert drifted_paths(first[kind], anew[kind]) != ()
                live = await objects.apply(one)
                assert drifted_paths(one, live) == ()
                assert content(live) == content(anew[kind])


def put(path: str, value: object) -> dict[str, Any]:
    return {"op": "replace" if path[-1].isdigit() else "add", "path": path, "value": value}


def take(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


POD = "/spec/template/spec"
CONTAINER = f"{POD}/containers/0"
# What somebody does to an object of ours: a JSON patch, and the path that has to be named.
TAMPERING: dict[str, tuple[str, list[dict[str, Any]], str]] = {
    "another number of pods": ("Deployment", [put("/spec/replicas", 7)], "spec.replicas"),
    "another image": ("Deployment", [put(f"{CONTAINER}/image", "evil:1")], "containers[service].image"),
    "another command": ("Deployment", [put(f"{CONTAINER}/command/0", "sh")], "containers[service].command[0]"),
    "one argument more": ("Deployment", [put(f"{CONTAINER}/args/-", "--debug")], "containers[service].args"),
    "no arguments": ("Deployment", [take(f"{CONTAINER}/args")], "containers[service].args"),
    "another value": ("Deployment", [put(f"{CONTAINER}/env/0", {"name": "EMPTY", "value": "x"})], "env[EMPTY]"),
    "a reference for a value": (
        "Deployment",
        [put(f"{CONTAINER}/env", [{"name": "TZ", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}])],
        "env[TZ].valueFrom",
    ),
    "a variable twice": ("Deployment", [put(f"{CONTAINER}/env/-", {"name": "EMPTY"})], "service].env"),
    "one variable more": ("Deployment", [put(f"{CONTAINER}/env/-", {"name": "X", "value": "x"})], "env[X]"),
    "one variable less": ("Deployment", [take(f"{CONTAINER}/env/0")], "env["),
    "a mount more": (
        "Deployment",
        [
            put(f"{POD}/volumes/-", {"name": "host", "hostPath": {"path": "/"}}),
            put(f"{CONTAINER}/volumeMounts/-", {"name": "host", "mountPath": "/host"}),
        ],
        "volumeMounts[/host]",
    ),
    "a volume of another kind": (
        "Deployment",
        [
            put(f"{POD}/volumes", [{"name": "tmpfs-cache", "hostPath": {"path": "/"}}]),
            put(f"{CONTAINER}/volumeMounts", [{"name": "tmpfs-cache", "mountPath": "/cache"}]),
        ],
        "volumes[tmpfs-cache].hostPath",
    ),
    "privileged": (
        "Deployment",
        [put(f"{CONTAINER}/securityContext", {"privileged": True})],
        "securityContext.privileged",
    ),
    "root in the container": (
        "Deployment",
        [put(f"{CONTAINER}/securityContext/runAsUser", 0)],
        "securityContext.runAsUser",
    ),
    "the host's network": (
        "Deployment",
        [take(f"{POD}/securityContext/sysctls"), put(f"{POD}/hostNetwork", True)],
        "template.spec.hostNetwork",
    ),
    "the host's processes": ("Deployment", [put(f"{POD}/hostPID", True)], "template.spec.hostPID"),
    "a port of the host": (
        "Deployment",
        [put(f"{CONTAINER}/ports/0/hostPort", 80)],
        "ports[80/TCP].hostPort",
    ),
    "another service account": ("Deployment", [put(f"{POD}/serviceAccountName", "admin")], "serviceAccountName"),
    "a container before": (
        "Deployment",
        [put(f"{POD}/initContainers", [{"name": "miner", "image": "miner:1"}])],
        "template.spec.initContainers",
    ),
    "a lifecycle hook": (
        "Deployment",
        [put(f"{CONTAINER}/lifecycle", {"postStart": {"exec": {"command": ["sh"]}}})],
        "containers[service].lifecycle",
    ),
    "variables from elsewhere": (
        "Deployment",
        [put(f"{CONTAINER}/envFrom", [{"secretRef": {"name": "x"}}])],
        "containers[service].envFrom",
    ),
    "another kind of probe": (
        "Deployment",
        [take(f"{CONTAINER}/livenessProbe/exec"), put(f"{CONTAINER}/livenessProbe/tcpSocket", {"port": 1})],
        "livenessProbe.tcpSocket",
    ),
    "an address from outside": ("Service", [put("/spec/externalIPs", ["192.0.2.1"])], "spec.externalIPs"),
    "a container more": (
        "Deployment",
        [put(f"{POD}/containers/-", {"name": "miner", "image": "miner:1"})],
        "containers[miner]",
    ),
    "no security": ("Deployment", [take(f"{CONTAINER}/securityContext")], "containers[service].securityContext"),
    "all capabilities": (
        "Deployment",
        [put(f"{CONTAINER}/securityContext/capabilities", {"add": ["ALL"]})],
        "securityContext.capabilities.drop",
    ),
    "root": ("Deployment", [put(f"{POD}/securityContext/runAsUser", 0)], "securityContext.runAsUser"),
    "a service account token": (
        "Deployment",
        [put(f"{POD}/automountServiceAccountToken", True)],
        "automountServiceAccountToken",
    ),
    "no readiness": ("Deployment", [take(f"{CONTAINER}/readinessProbe")], "readinessProbe"),
    "a slower probe": ("Deployment", [put(f"{CONTAINER}/livenessProbe/periodSeconds", 99)], "periodSeconds"),
    "more memory": ("Deployment", [put(f"{CONTAINER}/resources/limits/memory", "2Gi")], "limits.memory"),
    "another strategy": (
        "Deployment",
        [put("/spec/strategy", {"type": "RollingUpdate"})],
        "spec.strategy.type",
    ),
    "another revision": (
        "Deployment",
        [put("/metadata/annotations/hopper.dev~1revision", "x")],
        "metadata.annotations.hopper.dev/revision",
    ),
    "another checksum": (
        "Deployment",
        [put("/spec/template/metadata/annotations/hopper.dev~1checksum", "x")],
        "annotations.hopper.dev/checksum",
    ),
    "no label": ("Deployment", [take("/metadata/labels/plain")], "metadata.labels.plain"),
    "no owner": ("Deployment", [take("/metadata/ownerReferences")], "metadata.ownerReferences"),
    "another owner": (
        "Deployment",
        [put("/metadata/ownerReferences/0/controller", False)],
        "metadata.ownerReferences",
    ),
    "another selector": ("Service", [put("/spec/selector/app", "other")], "spec.selector.app"),
    "no selector": ("Service", [take("/spec/selector")], "spec.selector"),
    "another port": ("Service", [put("/spec/ports/0/targetPort", 1)], "targetPort"),
    "one port more": ("Service", [put("/spec/ports/-", {"name": "x", "port": 1})], "spec.ports[1/TCP]"),
    "one port less": ("Service", [take("/spec/ports/0")], "spec.ports["),
    "another type": ("Service", [put("/spec/type", "NodePort")], "spec.type"),
    "another file": ("ConfigMap", [put("/data/-etc-web-motd", "x")], "data.-etc-web-motd"),
    "a file more": ("ConfigMap", [put("/data/x", "y")], "data.x"),
    "a file less": ("ConfigMap", [take("/data/-etc-web-motd")], "data.-etc-web-motd"),
    "no files": ("ConfigMap", [take("/data")], "data"),
    "another password": ("Secret", [put("/data/PASSWORD", "eA==")], "data.PASSWORD"),
    "a password more": ("Secret", [put("/data/x", "eA==")], "data.x"),
    "a password less": ("Secret", [take("/data/PASSWORD")], "data.PASSWORD"),
    "another host": ("Ingress", [put("/spec/rules/0/host", "evil.example.com")], "spec.rules[0].host"),
    "one host more": ("Ingress", [put("/spec/rules/-", {"host": "evil.example.com"})], "spec.rules"),
    "another backend": (
        "Ingress",
        [put("/spec/rules/0/http/paths/0/backend/service/name", "evil")],
        "spec.rules[0].http.paths[0].backend.service.name",
    ),
    "a claim without labels": (
        "PersistentVolumeClaim",
        [take("/metadata/labels")],
        "metadata.labels.hopper.dev/instance",
    ),
    "a label of ours": (
        "ConfigMap",
        [put("/metadata/labels/app.kubernetes.io~1part-of", "other")],
        "metadata.labels.app.kubernetes.io/part-of",
    ),
}


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in TAMPERING.values()}))
async def test_tampering_is_seen_and_healed(objects: LiveObjects, kind: str, subtests: pytest.Subtests) -> None:
    cases = [(name, *rest) for name, (of, *rest) in TAMPERING.items() if of == kind]
    for number, (name, operations, path) in enumerate(cases):
        with subtests.test(name):
            one = render_as(await objects.create_instance(f"web-{number}"), {}, FULL)[kind]
            before = await objects.apply(one)
            changed = await objects.json_patch(one, operations)
            found = drifted_paths(one, changed)
            assert any(path in where for where in found), found
            assert "s3cret-canary" not in str(found)
            healed = await heal(objects, one, changed)
            assert drifted_paths(one, healed) == ()
            assert foreign_field_patch(one, healed) == []
            assert content(healed) == content(before)


async def heal(objects: LiveObjects, one: Manifest, live: Manifest) -> Manifest:
    """Bring a live object back in line: apply, and take away what others added, first so where it is in the way."""
    for _ in range(5):
        try:
            live = await objects.apply(one)
        except RefusedError as refused:
            if refused.code != 422:
                raise
            live = await objects.get(one)
        patch = foreign_field_patch(one, live)
        if patch:
            with suppress(RefusedError):  # a conflict: the cluster's own controllers work on the object as well
                live = await objects.json_patch(one, patch, manager=FIELD_MANAGER)
        if drifted_paths(one, live) == ():
            break
    return live


async def test_what_others_may_add_does_not_count(objects: LiveObjects) -> None:
    rendered = render_as(await objects.create_instance(), {}, FULL)
    for one in rendered.values():
        await objects.apply(one)
        notes = {"labels": {"team": "blue"}, "annotations": {"note": "x"}, "finalizers": ["example.com/hold"]}
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "6c1b7a3e-0000-4000-8000-000000000000"}
        owners = [owner, *one["metadata"]["ownerReferences"]]
        changed = await objects.merge_patch(one, {"metadata": {**notes, "ownerReferences": owners}})
        assert drifted_paths(one, changed) == ()
        assert foreign_field_patch(one, changed) == []
        await objects.merge_patch(one, {"metadata": {"finalizers": None}})


async def test_removals_do_not_touch_an_object_that_has_changed(objects: LiveObjects) -> None:
    one = render_as(await objects.create_instance(), {}, FULL)["ConfigMap"]
    await objects.apply(one)
    seen = await objects.merge_patch(one, {"data": {"x": "y"}})
    await objects.merge_patch(one, {"data": {"z": "y"}})
    with pytest.raises(RefusedError) as refused:
        await objects.json_patch(one, foreign_field_patch(one, seen))
    assert refused.value.code == 409
