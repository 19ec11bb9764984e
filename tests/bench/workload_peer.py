"""The peer with workloads: three objects per instance from a template, as a plain kopf operator of a few lines.

What makes the comparison fair, and where it favours the peer:

- The same objects with the same pods, and a status of the same size.
- The handlers are `async` and use the client's asyncio half, which spares the peer threads; the three objects of an
  instance are created at the same time, and so are the patches after a change of the template, 16 at a time.
- Templates come from kopf's index, not from a request each.
- Nothing is healed, merged, checked or removed, there are no overrides and no Kubernetes Events. Hopper does all of
  that in its time.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import kopf
from kubernetes.aio.client import ApiClient, AppsV1Api, CoreV1Api, CustomObjectsApi

from hopper.adapters.connection import connect
from tests.bench.peer_status import PEER_GROUP, follow_up

INSTANCE = f"{PEER_GROUP}/instance"
TEMPLATE = f"{PEER_GROUP}/template"
GENERATION = f"{PEER_GROUP}/template-generation"
_IN_FLIGHT = 16
_MERGE_PATCH = "application/merge-patch+json"


@kopf.on.startup()
async def open_client(memo: kopf.Memo, **_: Any) -> None:
    """Open one connection pool for all requests."""
    memo.client = (await connect()).client()
    memo.told = {}


@kopf.on.cleanup()
async def close_client(memo: kopf.Memo, **_: Any) -> None:
    """Close it."""
    await memo.client.close()


@kopf.index(PEER_GROUP, "v1", "hoppertemplates")
def templates(name: str, body: kopf.Body, **_: Any) -> dict[str, dict[str, Any]]:
    """Know the templates by name."""
    return {name: {"spec": dict(body["spec"]), "generation": body["metadata"]["generation"]}}


@kopf.on.create(PEER_GROUP, "v1", "hopperinstances")
async def create(
    spec: kopf.Spec,
    meta: kopf.Meta,
    body: kopf.Body,
    status: kopf.Status,
    patch: kopf.Patch,
    memo: kopf.Memo,
    templates: kopf.Index[str, dict[str, Any]],
    **_: Any,
) -> None:
    """Make what the template describes; an instance without one is there at once."""
    followed = follow_up(spec, meta, status)
    if not (reference := spec.get("templateRef")):
        patch.status.update(followed)
        return
    found = next(iter(templates.get(reference["name"], ())), None)
    if found is None:
        raise kopf.TemporaryError("the template is not there yet", delay=1)
    made = [_deployment(meta["name"], reference["name"], found), _service(meta["name"], found), _config(meta, found)]
    for one in made:
        kopf.append_owner_reference(one, owner=body)
        one["metadata"]["labels"] = {INSTANCE: meta["name"], TEMPLATE: reference["name"]}
    await _create_all(memo.client, meta["namespace"], *made)
    # `observe` tells the phase; it may well be faster than this.
    patch.status.update({key: value for key, value in followed.items() if key not in ("phase", "conditions")})


async def _create_all(
    client: ApiClient, namespace: str, deployment: dict[str, Any], service: dict[str, Any], config: dict[str, Any]
) -> None:
    core, apps = CoreV1Api(client), AppsV1Api(client)
    await asyncio.gather(
        core.create_namespaced_config_map(namespace, config),
        core.create_namespaced_service(namespace, service),
        apps.create_namespaced_deployment(namespace, deployment),
    )


@kopf.on.event("apps", "v1", "deployments", labels={INSTANCE: kopf.PRESENT})
async def observe(
    type: str | None,  # noqa: A002
    body: kopf.Body,
    meta: kopf.Meta,
    memo: kopf.Memo,
    **_: Any,
) -> None:
    """Tell the instance once its workload is available with what the template says now."""
    name = meta["labels"][INSTANCE]
    if type == "DELETED":
        memo.told.pop(name, None)
        return
    generation = int(meta["annotations"][GENERATION])
    if memo.told.get(name) == generation or not _is_rolled_out(body):
        return
    memo.told[name] = generation
    ready = {"type": "Ready", "status": "True", "reason": "Running", "message": "", "lastTransitionTime": _now()}
    change = {"status": {"phase": "Running", "templateGeneration": generation, "conditions": [ready]}}
    await CustomObjectsApi(memo.client).patch_namespaced_custom_object_status(
        PEER_GROUP, "v1", meta["namespace"], "hopperinstances", name, change, _content_type=_MERGE_PATCH
    )


@kopf.on.update(PEER_GROUP, "v1", "hoppertemplates", field="spec")
async def roll_out(name: str, namespace: str, spec: kopf.Spec, meta: kopf.Meta, memo: kopf.Memo, **_: Any) -> None:
    """Bring the users' Deployments to a changed template."""
    found = {"spec": spec, "generation": meta["generation"]}
    apps = AppsV1Api(memo.client)
    users = await apps.list_namespaced_deployment(namespace, label_selector=f"{TEMPLATE}={name}")
    slots = asyncio.Semaphore(_IN_FLIGHT)

    async def patch(deployment: str, instance: str) -> None:
        async with slots:
            change = _deployment(instance, name, found)
            await apps.patch_namespaced_deployment(
                deployment,
                namespace,
                {"metadata": change["metadata"], "spec": {"template": change["spec"]["template"]}},
            )

    await asyncio.gather(*(patch(user.metadata.name, user.metadata.labels[INSTANCE]) for user in users.items))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_rolled_out(body: kopf.Body) -> bool:
    status, replicas = body.get("status", {}), body["spec"]["replicas"]
    counts: Iterable[int] = (status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas"))
    return status.get("observedGeneration") == body["metadata"]["generation"] and set(counts) == {replicas}


def _deployment(instance: str, template: str, found: dict[str, Any]) -> dict[str, Any]:
    labels = {INSTANCE: instance, TEMPLATE: template}
    files = [file["path"] for file in found["spec"]["configFiles"]]
    mounts = [{"name": "files", "mountPath": path, "subPath": _key(path), "readOnly": True} for path in files]
    container = {
        "name": "service",
        "image": found["spec"]["image"],
        "ports": [{"containerPort": port["containerPort"]} for port in found["spec"]["ports"]],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": mounts,
    }
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "files", "configMap": {"name": _name(instance)}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _name(instance), "annotations": {GENERATION: str(found["generation"])}},
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": {INSTANCE: instance}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _service(instance: str, found: dict[str, Any]) -> dict[str, Any]:
    ports = [{"name": f"tcp-{it['containerPort']}", "port": it["containerPort"]} for it in found["spec"]["ports"]]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _name(instance)},
        "spec": {"selector": {INSTANCE: instance}, "ports": ports},
    }


def _config(meta: kopf.Meta, found: dict[str, Any]) -> dict[str, Any]:
    data = {_key(file["path"]): file["content"] for file in found["spec"]["configFiles"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _name(meta["name"])}, "data": data}


def _name(instance: str) -> str:
    return f"peer-{instance}"


def _key(path: str) -> str:
    return path.replace("/", "-")
