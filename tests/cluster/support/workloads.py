"""Everything around the instances of one namespace: templates, owned objects, pods, and the behavior of pods."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from hopper.api.names import LABEL_INSTANCE
from hopper.api.resources import OWNED_RESOURCES, PODS, TEMPLATES, Manifest, Resource
from hopper.api.template import USERS_SHOWN
from hopper.domain.service.render.objects import CHECKSUM_KEY
from tests.cluster.support.live_instances import MERGE_PATCH, LiveInstances, RefusedError, running_recorders
from tests.cluster.support.watch_recorder import resource_version

ENDPOINT_SLICES = Resource("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices")
RESOURCES = {resource.kind: resource for resource in (*OWNED_RESOURCES.values(), PODS, ENDPOINT_SLICES, TEMPLATES)}
# The simulated nodes select the behavior of a pod by this annotation (stages/pods.yaml).
BEHAVIOR_ANNOTATION = "tests.example.com/behaves"
# A service that renders to a Deployment, a Service, a ConfigMap and a Secret.
STATELESS_SERVICE: dict[str, Any] = {
    "image": "web:1",
    "ports": [{"containerPort": 80}],
    "env": [{"name": "LEVEL", "value": "1"}, {"name": "TOKEN", "value": "t0ken", "secret": True}],
    "configFiles": [{"path": "/etc/web.conf", "content": "listen 80\n"}],
}
# A service that renders to one object of each owned kind.
FULL_SERVICE: dict[str, Any] = STATELESS_SERVICE | {
    "domains": [{"domain": "web.example.com"}],
    "volumes": [{"target": "/data", "size": "1Mi"}],
}


def own_domain(name: str) -> dict[str, Any]:
    """Return overrides that give an instance of the full service a domain of its own, because only one has another."""
    return {"domains": [{"domain": "web.example.com", "$remove": True}, {"domain": f"{name}.example.com"}]}


class Workloads:
    """Templates, owned objects, pods and EndpointSlices of one namespace, kept current by watches."""

    def __init__(self, live: LiveInstances) -> None:
        self.live = live
        self.namespace = live.namespace
        self.recorders = {kind: live.recorder(resource.path(live.namespace)) for kind, resource in RESOURCES.items()}

    # --- templates

    async def create_template(self, name: str = "web", **spec: Any) -> Manifest:
        """Create a template. The default image becomes ready at once."""
        body = {"apiVersion": "hopper.dev/v1", "kind": TEMPLATES.kind, "metadata": {"name": name}}
        created: Manifest = await self._request("POST", TEMPLATES, None, body | {"spec": {"image": "web:1", **spec}})
        return created

    async def edit_template(self, name: str = "web", **spec: Any) -> Manifest:
        """Change fields of a template's spec; None removes a field."""
        return await self.edit(TEMPLATES.kind, name, {"spec": spec})

    async def delete_template(self, name: str = "web") -> None:
        await self.delete(TEMPLATES.kind, name)

    async def create_instance(self, name: str, image: str = "web:1", *, parent: str | None = None, **spec: Any) -> None:
        """Create an instance, and a template of the same name with this image."""
        await self.create_template(name, image=image)
        scope = "Orchestration" if parent else "Project"
        await self.live.create(name, scope, parent, templateRef={"name": name}, **spec)

    def template_status(self, name: str = "web") -> Manifest:
        status: Manifest = self.recorders[TEMPLATES.kind].objects.get(name, {}).get("status", {})
        return status

    # --- objects

    def objects(self, kind: str) -> Mapping[str, Manifest]:
        """Return the objects of a kind by name."""
        return self.recorders[kind].objects

    def owned_objects(self, instance: str) -> dict[str, Manifest]:
        """Return the owned objects of an instance by kind, without pods; of several claims, the last one."""
        return {
            kind: manifest
            for kind in OWNED_RESOURCES
            for manifest in self.objects(kind).values()
            if _instance_label(manifest) == instance and not is_being_deleted(manifest)
        }

    def deployment(self, instance: str) -> Manifest:
        """Return the Deployment, or an empty record without a Deployment."""
        return self.owned_objects(instance).get("Deployment", {})

    def pod_template(self, instance: str) -> Manifest:
        template: Manifest = self.deployment(instance)["spec"]["template"]
        return template

    def container(self, instance: str) -> Manifest:
        container: Manifest = self.pod_template(instance)["spec"]["containers"][0]
        return container

    def secret_data(self, instance: str) -> dict[str, str]:
        """Return the decoded data of the Secret without the key of the checksum; empty without a Secret."""
        data = self.owned_objects(instance).get("Secret", {}).get("data", {})
        return {key: b64decode(value).decode() for key, value in data.items() if key != CHECKSUM_KEY}

    def with_values(self, env: list[Manifest]) -> list[Manifest]:
        """Return variables with values instead of references to Secrets; None for a value that does not exist."""
        return [self._with_value(entry) for entry in env]

    def _with_value(self, entry: Manifest) -> Manifest:
        reference = entry.get("valueFrom", {}).get("secretKeyRef")
        if reference is None:
            return entry
        encoded = self.objects("Secret").get(reference["name"], {}).get("data", {}).get(reference["key"])
        value = b64decode(encoded).decode() if encoded is not None else None
        return {key: field for key, field in entry.items() if key != "valueFrom"} | {"value": value}

    def claim(self, instance: str) -> Manifest:
        """Return the PersistentVolumeClaim that was rendered for an instance of this name, whatever owns it today."""
        return self.objects("PersistentVolumeClaim")[f"hopper-{instance}-data"]

    async def edit(self, kind: str, name: str, patch: object, content_type: str = MERGE_PATCH) -> Manifest:
        """Change an object as another field manager; wait until the watch has delivered the write."""
        edited: Manifest = await self._request("PATCH", RESOURCES[kind], name, patch, content_type)
        version, recorder = resource_version(edited), self.recorders[kind]
        await self.live.until(lambda: recorder.newest_version >= version, f"watch event for {kind} {name} at {version}")
        return edited

    async def edit_status(self, kind: str, name: str, status: Manifest) -> None:
        """Change the status of an object, as its controller or the kubelet would."""
        path = RESOURCES[kind].path(self.namespace, name) + "/status"
        await self.live.request("PATCH", path, {"status": status}, MERGE_PATCH)

    async def create(self, manifest: Manifest) -> Manifest:
        created: Manifest = await self._request("POST", RESOURCES[manifest["kind"]], None, manifest)
        return created

    async def delete(self, kind: str, name: str) -> None:
        """Delete an object, if it exists."""
        try:
            await self._request("DELETE", RESOURCES[kind], name, {"propagationPolicy": "Background"})
        except RefusedError as error:
            if error.code != 404:
                raise

    # --- pods

    def pods(self, instance: str) -> dict[str, Manifest]:
        """Return the pods of an instance by uid, without those being deleted."""
        return {pod["metadata"]["uid"]: pod for pod in self._all_pods(instance) if not is_being_deleted(pod)}

    def _all_pods(self, instance: str) -> list[Manifest]:
        return [pod for pod in self.objects("Pod").values() if _instance_label(pod) == instance]

    def pod_uids_ever(self, instance: str) -> set[str]:
        """Return the uids of all pods that an instance has ever had."""
        versions = (event.object for event in self.recorders["Pod"].log)
        return {pod["metadata"]["uid"] for pod in versions if _instance_label(pod) == instance}

    def ready_endpoints(self, instance: str) -> set[str]:
        """Return the names of the pods that the Service of an instance sends traffic to."""
        return _ready_targets(self.objects(ENDPOINT_SLICES.kind).values(), instance)

    def endpoints_ever(self, instance: str) -> set[str]:
        """Return the names of all pods that the Service of an instance has ever sent traffic to."""
        return _ready_targets((event.object for event in self.recorders[ENDPOINT_SLICES.kind].log), instance)

    async def set_pod_behavior(self, instance: str, behavior: str) -> None:
        """Change the behavior of the pods of an instance to that of an image of this name, or to `well`."""
        patch = {"metadata": {"annotations": {BEHAVIOR_ANNOTATION: behavior}}}
        names = [pod["metadata"]["name"] for pod in self.pods(instance).values()]
        await asyncio.gather(*(self.edit("Pod", name, patch) for name in names))

    def assert_pods_never_coexist(self, *instances: str) -> None:
        """Check the log of the pods: at most one of these instances had pods at any moment."""
        alive: dict[str, set[str]] = defaultdict(set)
        for event in self.recorders["Pod"].log:
            instance, uid = event.object["metadata"]["labels"][LABEL_INSTANCE], event.object["metadata"]["uid"]
            (alive[instance].discard if event.event_type == "DELETED" else alive[instance].add)(uid)
            with_pods = [name for name in instances if alive[name]]
            assert len(with_pods) <= 1, f"instances with pods at the same time: {with_pods}"

    # --- waiting

    async def until_pods(self, instance: str, count: int) -> dict[str, Manifest]:
        """Wait until an instance has this number of pods and none is being deleted; return the pods by uid."""

        def holds() -> bool:
            return len(self._all_pods(instance)) == count == len(self.pods(instance))

        await self.live.until(holds, f"{count} pods of {instance}")
        return self.pods(instance)

    async def until_owned(self, instance: str, *kinds: str, seconds: float = 30) -> None:
        """Wait until an instance owns objects of exactly these kinds."""
        description = f"{instance} owns {', '.join(sorted(kinds)) or 'no objects'}"
        await self.live.until(lambda: self.owned_objects(instance).keys() == set(kinds), description, seconds)

    async def until_endpoints(self, instance: str, count: int) -> None:
        """Wait until the Service of an instance sends traffic to this number of pods."""
        await self.live.until(lambda: len(self.ready_endpoints(instance)) == count, f"{count} endpoints of {instance}")

    async def until_template_users(self, *users: str, template: str = "web") -> None:
        """Wait until the status of a template shows the number of its users, and their names."""
        expected = {"users": len(users), "usedBy": sorted(users)[:USERS_SHOWN]}

        def holds() -> bool:
            status = self.template_status(template)
            return {key: status.get(key) for key in expected} == expected

        await self.live.until(holds, f"template {template} with users {', '.join(users) or '(none)'}")

    async def _request(
        self, method: str, resource: Resource, name: str | None, body: object, content_type: str = "application/json"
    ) -> Any:
        manager = urlencode({"fieldManager": "test-client"})
        return await self.live.request(method, f"{resource.path(self.namespace, name)}?{manager}", body, content_type)


def is_being_deleted(manifest: Manifest) -> bool:
    return "deletionTimestamp" in manifest["metadata"]


def owner_names(manifest: Manifest) -> list[str]:
    return [owner["name"] for owner in manifest["metadata"]["ownerReferences"]]


def _ready_targets(slices: Iterable[Manifest], instance: str) -> set[str]:
    return {
        endpoint["targetRef"]["name"]
        for endpoint_slice in slices
        if endpoint_slice["metadata"]["labels"].get(LABEL_INSTANCE) == instance  # copied from the Service
        for endpoint in endpoint_slice["endpoints"] or ()
        if endpoint["conditions"].get("ready")
    }


def _instance_label(manifest: Manifest) -> str | None:
    name: str | None = manifest["metadata"].get("labels", {}).get(LABEL_INSTANCE)
    return name


@asynccontextmanager
async def watched_workloads(live: LiveInstances) -> AsyncIterator[Workloads]:
    """Watch everything around the instances of a namespace."""
    workloads = Workloads(live)
    async with running_recorders(*workloads.recorders.values()):
        yield workloads
