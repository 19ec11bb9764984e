"""Rendered objects on a real API server: validation, drift detection and the reverting of foreign changes."""

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
    """Fresh namespace without an operator, which enforces Pod Security `restricted`."""
    async with fresh_namespace() as live:
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
        await live.request(
            "PATCH", f"/api/v1/namespaces/{live.namespace}", {"metadata": {"labels": labels}}, MERGE_PATCH
        )
        yield LiveObjects(live)


def blueprint_of(instance: HopperInstance, spec: dict[str, Any]) -> Blueprint:
    """Return the blueprint of an instance whose template has this spec."""
    blueprint = prepare_blueprint(instance, (), template(spec))
    assert blueprint.problems == ()
    return blueprint


PORT = [{"containerPort": 80}]
SERVICES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an image only": ({}, {}),
    "all fields": ({}, FULL),
    "all fields, ephemeral": ({"type": "Ephemeral"}, FULL),
    "all fields, a singleton": ({"type": "Singleton"}, FULL),
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
async def test_rendered_objects_are_accepted_and_show_no_drift(objects: LiveObjects, name: str) -> None:
    fields, spec = SERVICES[name]
    blueprint = blueprint_of(await objects.create_instance(**fields), spec)
    for rendered in (manifest for mode in Mode for manifest in render_objects(blueprint, mode).objects):
        before = copy.deepcopy(rendered)
        live = await objects.apply(rendered, fieldValidation="Strict")
        assert drifted_paths(rendered, live) == ()
        assert foreign_field_patch(rendered, live) == []
        applied_again = await objects.apply(rendered)
        assert applied_again["metadata"].get("generation") == live["metadata"].get("generation")
        assert rendered == before


async def test_pod_security_restricted_admits_all_pods_but_root(
    objects: LiveObjects, subtests: pytest.Subtests
) -> None:
    """Pods are created as a dry run, because Pod Security rejects pods but only warns about Deployments."""
    path = f"/api/v1/namespaces/{objects.namespace}/pods?dryRun=All&fieldValidation=Strict"
    instance = await objects.create_instance()
    for name, (_, spec) in SERVICES.items():
        with subtests.test(name):
            pod = pod_manifest(blueprint_of(instance, spec))
            if name == "root":
                with pytest.raises(RefusedError, match="violates PodSecurity"):
                    await objects.live.request("POST", path, pod)
            else:
                assert (await objects.live.request("POST", path, pod))["kind"] == "Pod"


def pod_manifest(blueprint: Blueprint) -> Manifest:
    """Return the pod that the Deployment creates."""
    rendered = render_objects(blueprint, Mode.UP).objects
    deployment = next(manifest for manifest in rendered if manifest["kind"] == "Deployment")
    pod = deployment["spec"]["template"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"] | {"name": "try"}, "spec": pod["spec"]}


def render_as(instance: HopperInstance, fields: dict[str, Any], spec: dict[str, Any]) -> dict[str, Manifest]:
    """Render an instance with changed fields of its spec and this template; return the objects by kind."""
    changed = replace(instance, spec=replace(instance.spec, **fields))
    return {manifest["kind"]: manifest for manifest in render_objects(blueprint_of(changed, spec), Mode.UP).objects}


ALLOCATED = ("clusterIP", "clusterIPs", "volumeName")


def comparable(manifest: Manifest) -> Manifest:
    """Return an object without the fields that the API server sets."""
    kept = {key: value for key, value in manifest.items() if key not in ("metadata", "status")}
    if "spec" in kept:
        kept["spec"] = {key: value for key, value in kept["spec"].items() if key not in ALLOCATED}
    labels, annotations = manifest["metadata"]["labels"], manifest["metadata"].get("annotations", {})
    return kept | {"labels": labels, "revision": annotations.get(ANNOTATION_REVISION)}


OTHER_SERVICE = {
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
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "full": ({}, FULL),
    "other": ({}, OTHER_SERVICE),
    "ephemeral": ({"type": InstanceType.EPHEMERAL}, FULL),
    "other ephemeral": ({"type": InstanceType.EPHEMERAL}, OTHER_SERVICE),
    "baseline": ({}, {**FULL, "securityProfile": "Baseline"}),
    "minimal": ({}, {}),
}


@pytest.mark.parametrize("before", VARIANTS)
async def test_an_update_ends_with_the_same_objects_as_a_fresh_apply(
    objects: LiveObjects, before: str, subtests: pytest.Subtests
) -> None:
    for number, after in enumerate(VARIANTS):
        with subtests.test(after):
            instance = await objects.create_instance(f"web-{number}")
            first, second = render_as(instance, *VARIANTS[before]), render_as(instance, *VARIANTS[after])
            fresh = {kind: await objects.apply(rendered, dryRun="All") for kind, rendered in second.items()}
            for rendered in first.values():
                await objects.apply(rendered)
            for kind, rendered in second.items():
                if kind in first and comparable(first[kind]) != comparable(rendered):
                    assert drifted_paths(first[kind], fresh[kind]) != ()
                live = await objects.apply(rendered)
                assert drifted_paths(rendered, live) == ()
                assert comparable(live) == comparable(fresh[kind])


def add_or_replace(path: str, value: object) -> dict[str, Any]:
    return {"op": "replace" if path[-1].isdigit() else "add", "path": path, "value": value}


def remove(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


POD = "/spec/template/spec"
CONTAINER = f"{POD}/containers/0"
# Changes of other field managers: kind, JSON patch and a part of the drifted path that must be reported.
FOREIGN_CHANGES: dict[str, tuple[str, list[dict[str, Any]], str]] = {
    "another number of pods": ("Deployment", [add_or_replace("/spec/replicas", 7)], "spec.replicas"),
    "another image": ("Deployment", [add_or_replace(f"{CONTAINER}/image", "evil:1")], "containers[service].image"),
    "another command": (
        "Deployment",
        [add_or_replace(f"{CONTAINER}/command/0", "sh")],
        "containers[service].command[0]",
    ),
    "an additional argument": (
        "Deployment",
        [add_or_replace(f"{CONTAINER}/args/-", "--debug")],
        "containers[service].args",
    ),
    "no arguments": ("Deployment", [remove(f"{CONTAINER}/args")], "containers[service].args"),
    "another value": (
        "Deployment",
        [add_or_replace(f"{CONTAINER}/env/0", {"name": "EMPTY", "value": "x"})],
        "env[EMPTY]",
    ),
    "a reference instead of a value": (
        "Deployment",
        [
            add_or_replace(
                f"{CONTAINER}/env", [{"name": "TZ", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
            )
        ],
        "env[TZ].valueFrom",
    ),
    "a duplicate variable": ("Deployment", [add_or_replace(f"{CONTAINER}/env/-", {"name": "EMPTY"})], "service].env"),
    "an additional variable": (
        "Deployment",
        [add_or_replace(f"{CONTAINER}/env/-", {"name": "X", "value": "x"})],
        "env[X]",
    ),
    "a missing variable": ("Deployment", [remove(f"{CONTAINER}/env/0")], "env["),
    "an additional mount": (
        "Deployment",
        [
            add_or_replace(f"{POD}/volumes/-", {"name": "host", "hostPath": {"path": "/"}}),
            add_or_replace(f"{CONTAINER}/volumeMounts/-", {"name": "host", "mountPath": "/host"}),
        ],
        "volumeMounts[/host]",
    ),
    "a volume of another kind": (
        "Deployment",
        [
            add_or_replace(f"{POD}/volumes", [{"name": "tmpfs-cache", "hostPath": {"path": "/"}}]),
            add_or_replace(f"{CONTAINER}/volumeMounts", [{"name": "tmpfs-cache", "mountPath": "/cache"}]),
        ],
        "volumes[tmpfs-cache].hostPath",
    ),
    "privileged": (
        "Deployment",
        [add_or_replace(f"{CONTAINER}/securityContext", {"privileged": True})],
        "securityContext.privileged",
    ),
    "root in the container": (
        "Deployment",
        [add_or_replace(f"{CONTAINER}/securityContext/runAsUser", 0)],
        "securityContext.runAsUser",
    ),
    "the host network": (
        "Deployment",
        [remove(f"{POD}/securityContext/sysctls"), add_or_replace(f"{POD}/hostNetwork", True)],
        "template.spec.hostNetwork",
    ),
    "the host PID namespace": ("Deployment", [add_or_replace(f"{POD}/hostPID", True)], "template.spec.hostPID"),
    "a host port": (
        "Deployment",
        [add_or_replace(f"{CONTAINER}/ports/0/hostPort", 80)],
        "ports[80/TCP].hostPort",
    ),
    "another service account": (
        "Deployment",
        [add_or_replace(f"{POD}/serviceAccountName", "admin")],
        "serviceAccountName",
    ),
    "an init container": (
        "Deployment",
        [add_or_replace(f"{POD}/initContainers", [{"name": "miner", "image": "miner:1"}])],
        "template.spec.initContainers",
    ),
    "a lifecycle hook": (
        "Deployment",
        [add_or_replace(f"{CONTAINER}/lifecycle", {"postStart": {"exec": {"command": ["sh"]}}})],
        "containers[service].lifecycle",
    ),
    "variables from a Secret": (
        "Deployment",
        [add_or_replace(f"{CONTAINER}/envFrom", [{"secretRef": {"name": "x"}}])],
        "containers[service].envFrom",
    ),
    "another kind of probe": (
        "Deployment",
        [
            remove(f"{CONTAINER}/livenessProbe/exec"),
            add_or_replace(f"{CONTAINER}/livenessProbe/tcpSocket", {"port": 1}),
        ],
        "livenessProbe.tcpSocket",
    ),
    "an external IP": ("Service", [add_or_replace("/spec/externalIPs", ["192.0.2.1"])], "spec.externalIPs"),
    "an additional container": (
        "Deployment",
        [add_or_replace(f"{POD}/containers/-", {"name": "miner", "image": "miner:1"})],
        "containers[miner]",
    ),
    "no security context": (
        "Deployment",
        [remove(f"{CONTAINER}/securityContext")],
        "containers[service].securityContext",
    ),
    "all capabilities": (
        "Deployment",
        [add_or_replace(f"{CONTAINER}/securityContext/capabilities", {"add": ["ALL"]})],
        "securityContext.capabilities.drop",
    ),
    "root": ("Deployment", [add_or_replace(f"{POD}/securityContext/runAsUser", 0)], "securityContext.runAsUser"),
    "a service account token": (
        "Deployment",
        [add_or_replace(f"{POD}/automountServiceAccountToken", True)],
        "automountServiceAccountToken",
    ),
    "no readiness probe": ("Deployment", [remove(f"{CONTAINER}/readinessProbe")], "readinessProbe"),
    "a slower probe": ("Deployment", [add_or_replace(f"{CONTAINER}/livenessProbe/periodSeconds", 99)], "periodSeconds"),
    "more memory": ("Deployment", [add_or_replace(f"{CONTAINER}/resources/limits/memory", "2Gi")], "limits.memory"),
    "another strategy": (
        "Deployment",
        [add_or_replace("/spec/strategy", {"type": "RollingUpdate"})],
        "spec.strategy.type",
    ),
    "another revision": (
        "Deployment",
        [add_or_replace("/metadata/annotations/hopper.dev~1revision", "x")],
        "metadata.annotations.hopper.dev/revision",
    ),
    "another checksum": (
        "Deployment",
        [add_or_replace("/spec/template/metadata/annotations/hopper.dev~1checksum", "x")],
        "annotations.hopper.dev/checksum",
    ),
    "no label": ("Deployment", [remove("/metadata/labels/plain")], "metadata.labels.plain"),
    "no owner": ("Deployment", [remove("/metadata/ownerReferences")], "metadata.ownerReferences"),
    "another owner": (
        "Deployment",
        [add_or_replace("/metadata/ownerReferences/0/controller", False)],
        "metadata.ownerReferences",
    ),
    "another selector": ("Service", [add_or_replace("/spec/selector/app", "other")], "spec.selector.app"),
    "no selector": ("Service", [remove("/spec/selector")], "spec.selector"),
    "another port": ("Service", [add_or_replace("/spec/ports/0/targetPort", 1)], "targetPort"),
    "an additional port": ("Service", [add_or_replace("/spec/ports/-", {"name": "x", "port": 1})], "spec.ports[1/TCP]"),
    "a missing port": ("Service", [remove("/spec/ports/0")], "spec.ports["),
    "another type": ("Service", [add_or_replace("/spec/type", "NodePort")], "spec.type"),
    "another file": ("ConfigMap", [add_or_replace("/data/-etc-web-motd", "x")], "data.-etc-web-motd"),
    "an additional file": ("ConfigMap", [add_or_replace("/data/x", "y")], "data.x"),
    "a missing file": ("ConfigMap", [remove("/data/-etc-web-motd")], "data.-etc-web-motd"),
    "no files": ("ConfigMap", [remove("/data")], "data"),
    "another password": ("Secret", [add_or_replace("/data/PASSWORD", "eA==")], "data.PASSWORD"),
    "an additional password": ("Secret", [add_or_replace("/data/x", "eA==")], "data.x"),
    "a missing password": ("Secret", [remove("/data/PASSWORD")], "data.PASSWORD"),
    "another host": ("Ingress", [add_or_replace("/spec/rules/0/host", "evil.example.com")], "spec.rules[0].host"),
    "an additional host": ("Ingress", [add_or_replace("/spec/rules/-", {"host": "evil.example.com"})], "spec.rules"),
    "another backend": (
        "Ingress",
        [add_or_replace("/spec/rules/0/http/paths/0/backend/service/name", "evil")],
        "spec.rules[0].http.paths[0].backend.service.name",
    ),
    "a claim without labels": (
        "PersistentVolumeClaim",
        [remove("/metadata/labels")],
        "metadata.labels.hopper.dev/instance",
    ),
    "a common label": (
        "ConfigMap",
        [add_or_replace("/metadata/labels/app.kubernetes.io~1part-of", "other")],
        "metadata.labels.app.kubernetes.io/part-of",
    ),
}


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in FOREIGN_CHANGES.values()}))
async def test_every_foreign_change_is_detected_and_reverted(
    objects: LiveObjects, kind: str, subtests: pytest.Subtests
) -> None:
    cases = [(name, *case) for name, (case_kind, *case) in FOREIGN_CHANGES.items() if case_kind == kind]
    for number, (name, operations, path) in enumerate(cases):
        with subtests.test(name):
            rendered = render_as(await objects.create_instance(f"web-{number}"), {}, FULL)[kind]
            before = await objects.apply(rendered)
            changed = await objects.json_patch(rendered, operations)
            drifted = drifted_paths(rendered, changed)
            assert any(path in drifted_path for drifted_path in drifted), drifted
            assert "s3cret-canary" not in str(drifted)
            reverted = await revert(objects, rendered, changed)
            assert drifted_paths(rendered, reverted) == ()
            assert foreign_field_patch(rendered, reverted) == []
            assert comparable(reverted) == comparable(before)


async def revert(objects: LiveObjects, rendered: Manifest, live: Manifest) -> Manifest:
    """Apply a rendered object and remove foreign fields until the live object shows no drift.

    If foreign fields make the apply invalid, they are removed first.
    """
    for _ in range(5):
        try:
            live = await objects.apply(rendered)
        except RefusedError as error:
            if error.code != 422:
                raise
            live = await objects.get(rendered)
        patch = foreign_field_patch(rendered, live)
        if patch:
            with suppress(RefusedError):  # a conflict with a write of the cluster's own controllers
                live = await objects.json_patch(rendered, patch, manager=FIELD_MANAGER)
        if drifted_paths(rendered, live) == ():
            break
    return live


async def test_foreign_metadata_is_no_drift(objects: LiveObjects) -> None:
    for rendered in render_as(await objects.create_instance(), {}, FULL).values():
        await objects.apply(rendered)
        foreign = {"labels": {"team": "blue"}, "annotations": {"note": "x"}, "finalizers": ["example.com/hold"]}
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "6c1b7a3e-0000-4000-8000-000000000000"}
        owners = [owner, *rendered["metadata"]["ownerReferences"]]
        changed = await objects.merge_patch(rendered, {"metadata": {**foreign, "ownerReferences": owners}})
        assert drifted_paths(rendered, changed) == ()
        assert foreign_field_patch(rendered, changed) == []
        await objects.merge_patch(rendered, {"metadata": {"finalizers": None}})


async def test_a_foreign_field_patch_conflicts_with_a_newer_version(objects: LiveObjects) -> None:
    rendered = render_as(await objects.create_instance(), {}, FULL)["ConfigMap"]
    await objects.apply(rendered)
    older = await objects.merge_patch(rendered, {"data": {"x": "y"}})
    await objects.merge_patch(rendered, {"data": {"z": "y"}})
    with pytest.raises(RefusedError) as error:
        await objects.json_patch(rendered, foreign_field_patch(rendered, older))
    assert error.value.code == 409
