"""Plain kopf operator with workloads: three objects per instance, made from a template.

What makes the comparison fair, and where it favours the peer:

- It creates the same objects with the same pods, and a status of about the same size.
- The handlers are `async` and use the asyncio part of the client, so kopf needs no threads. The three objects of an
  instance are created concurrently. A template change is rolled out by 16 concurrent patches.
- Templates come from kopf's index and cost no requests.
- It corrects no drift, merges and validates nothing, removes no stale objects, and has no overrides and no Kubernetes
  Events. Hopper does all of this in the measured time.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import kopf
from kubernetes.aio.client import ApiClient, AppsV1Api, CoreV1Api, CustomObjectsApi

from hopper.adapters.connection import connect
from tests.bench.peers.status import PEER_GROUP, settled_status

INSTANCE = f"{PEER_GROUP}/instance"
TEMPLATE = f"{PEER_GROUP}/template"
GENERATION = f"{PEER_GROUP}/template-generation"
_CONCURRENCY = 16
_MERGE_PATCH = "application/merge-patch+json"


@kopf.on.startup()
async def open_client(memo: kopf.Memo, **_: Any) -> None:
    """Open one connection pool for all requests."""
    memo.client = (await connect()).client()
    memo.reported = {}


@kopf.on.cleanup()
async def close_client(memo: kopf.Memo, **_: Any) -> None:
    """Close the connection pool."""
    await memo.client.close()


@kopf.index(PEER_GROUP, "v1", "hoppertemplates")
def templates(name: str, body: kopf.Body, **_: Any) -> dict[str, dict[str, Any]]:
    """Index templates by name."""
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
    """Create the objects of the template; without a template the instance is Running at once."""
    settled = settled_status(spec, meta, status)
    if not (reference := spec.get("templateRef")):
        patch.status.update(settled)
        return
    template = next(iter(templates.get(reference["name"], ())), None)
    if template is None:
        raise kopf.TemporaryError(f"template {reference['name']!r} not found", delay=1)
    deployment = _deployment(meta["name"], reference["name"], template)
    owned = [deployment, _service(meta["name"], template), _config_map(meta, template)]
    for manifest in owned:
        kopf.append_owner_reference(manifest, owner=body)
        manifest["metadata"]["labels"] = {INSTANCE: meta["name"], TEMPLATE: reference["name"]}
    await _create_all(memo.client, meta["namespace"], *owned)
    # `observe` writes phase and conditions, perhaps before this patch.
    patch.status.update({key: value for key, value in settled.items() if key not in ("phase", "conditions")})


async def _create_all(
    client: ApiClient, namespace: str, deployment: dict[str, Any], service: dict[str, Any], config_map: dict[str, Any]
) -> None:
    core, apps = CoreV1Api(client), AppsV1Api(client)
    await asyncio.gather(
        core.create_namespaced_config_map(namespace, config_map),
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
    """Set the instance to Running when the current version of its Deployment is available."""
    name = meta["labels"][INSTANCE]
    if type == "DELETED":
        memo.reported.pop(name, None)
        return
    generation = int(meta["annotations"][GENERATION])
    if memo.reported.get(name) == generation or not _is_rolled_out(body):
        return
    memo.reported[name] = generation
    ready = {"type": "Ready", "status": "True", "reason": "Running", "message": "", "lastTransitionTime": _now()}
    change = {"status": {"phase": "Running", "templateGeneration": generation, "conditions": [ready]}}
    await CustomObjectsApi(memo.client).patch_namespaced_custom_object_status(
        PEER_GROUP, "v1", meta["namespace"], "hopperinstances", name, change, _content_type=_MERGE_PATCH
    )


@kopf.on.update(PEER_GROUP, "v1", "hoppertemplates", field="spec")
async def roll_out(name: str, namespace: str, spec: kopf.Spec, meta: kopf.Meta, memo: kopf.Memo, **_: Any) -> None:
    """Patch the Deployments of a changed template."""
    template = {"spec": spec, "generation": meta["generation"]}
    apps = AppsV1Api(memo.client)
    deployments = await apps.list_namespaced_deployment(namespace, label_selector=f"{TEMPLATE}={name}")
    limit = asyncio.Semaphore(_CONCURRENCY)

    async def patch(deployment: str, instance: str) -> None:
        async with limit:
            change = _deployment(instance, name, template)
            await apps.patch_namespaced_deployment(
                deployment,
                namespace,
                {"metadata": change["metadata"], "spec": {"template": change["spec"]["template"]}},
            )

    metadata = [deployment.metadata for deployment in deployments.items]
    await asyncio.gather(*(patch(item.name, item.labels[INSTANCE]) for item in metadata))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_rolled_out(body: kopf.Body) -> bool:
    status, replicas = body.get("status", {}), body["spec"]["replicas"]
    counts: Iterable[int] = (status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas"))
    return status.get("observedGeneration") == body["metadata"]["generation"] and set(counts) == {replicas}


def _deployment(instance: str, template_name: str, template: dict[str, Any]) -> dict[str, Any]:
    labels = {INSTANCE: instance, TEMPLATE: template_name}
    files = [file["path"] for file in template["spec"]["configFiles"]]
    mounts = [{"name": "files", "mountPath": path, "subPath": _data_key(path), "readOnly": True} for path in files]
    container = {
        "name": "service",
        "image": template["spec"]["image"],
        "ports": [{"containerPort": port["containerPort"]} for port in template["spec"]["ports"]],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": mounts,
    }
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "files", "configMap": {"name": _object_name(instance)}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _object_name(instance), "annotations": {GENERATION: str(template["generation"])}},
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": {INSTANCE: instance}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _service(instance: str, template: dict[str, Any]) -> dict[str, Any]:
    ports = [
        {"name": f"tcp-{port['containerPort']}", "port": port["containerPort"]} for port in template["spec"]["ports"]
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _object_name(instance)},
        "spec": {"selector": {INSTANCE: instance}, "ports": ports},
    }


def _config_map(meta: kopf.Meta, template: dict[str, Any]) -> dict[str, Any]:
    data = {_data_key(file["path"]): file["content"] for file in template["spec"]["configFiles"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _object_name(meta["name"])}, "data": data}


def _object_name(instance: str) -> str:
    return f"peer-{instance}"


def _data_key(path: str) -> str:
    return path.replace("/", "-")
