"""What instances run: their templates, the objects that they own, their pods, and how those behave."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from hopper.api.names import LABEL_INSTANCE
from hopper.api.resources import OWNED_RESOURCES, PODS, TEMPLATES, Resource
from hopper.api.template import USERS_SHOWN
from tests.cluster.support.live_instances import MERGE_PATCH, LiveInstances, Refused
from tests.cluster.support.watch_recorder import Object, WatchRecorder, version

SLICES = Resource("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices")
RESOURCES = {it.kind: it for it in (*OWNED_RESOURCES.values(), PODS, SLICES, TEMPLATES)}
# What the simulated nodes of the tests look for (stages/pods.yaml).
BEHAVES = "tests.example.com/behaves"
# A service with one object of each of four kinds.
FOUR = {
    "image": "web:1",
    "ports": [{"containerPort": 80}],
    "env": [{"name": "LEVEL", "value": "1"}, {"name": "TOKEN", "value": "t0ken", "secret": True}],
    "configFiles": [{"path": "/etc/web.conf", "content": "listen 80\n"}],
}
# A service with one object of each kind.
ALL = FOUR | {
    "domains": [{"domain": "web.example.com"}],
    "volumes": [{"target": "/data", "size": "1Mi"}],
}


class Workloads:
    """Everything around the instances of one namespace, as a watch tells it."""

    def __init__(self, live: LiveInstances) -> None:
        self.live = live
        self.namespace = live.namespace
        self.follows = {kind: live.follow(it.path(live.namespace)) for kind, it in RESOURCES.items()}

    # --- templates

    async def template(self, name: str = "web", **spec: Any) -> Object:
        """Create a template; without an image, it has one that runs at once."""
        body = {"apiVersion": "hopper.dev/v1", "kind": TEMPLATES.kind, "metadata": {"name": name}}
        created: Object = await self._request("POST", TEMPLATES, None, body | {"spec": {"image": "web:1", **spec}})
        return created

    async def edit_template(self, name: str = "web", **spec: Any) -> Object:
        """Change fields of a template's spec; None removes one."""
        return await self.edit(TEMPLATES.kind, name, {"spec": spec})

    async def delete_template(self, name: str = "web") -> None:
        await self.delete(TEMPLATES.kind, name)

    async def run(self, name: str, image: str = "web:1", *, parent: str | None = None, **spec: Any) -> None:
        """Create an instance, and a template of its own with this image."""
        await self.template(name, image=image)
        scope = "Orchestration" if parent else "Project"
        await self.live.create(name, scope, parent, templateRef={"name": name}, **spec)

    def template_status(self, name: str = "web") -> Object:
        found: Object = self.follows[TEMPLATES.kind].now.get(name, {}).get("status", {})
        return found

    # --- objects

    def now(self, kind: str) -> Mapping[str, Object]:
        """Return the objects of a kind by name."""
        return self.follows[kind].now

    def owned(self, instance: str) -> dict[str, Object]:
        """Return what belongs to an instance, pods not among it, by kind; of several claims, the last one."""
        found = ((kind, it) for kind in OWNED_RESOURCES for it in self.now(kind).values())
        return {kind: it for kind, it in found if _owner(it) == instance and not is_ending(it)}

    def deployment(self, instance: str) -> Object:
        """Return the Deployment, empty where there is none."""
        return self.owned(instance).get("Deployment", {})

    def pod_template(self, instance: str) -> Object:
        found: Object = self.deployment(instance)["spec"]["template"]
        return found

    def container(self, instance: str) -> Object:
        found: Object = self.pod_template(instance)["spec"]["containers"][0]
        return found

    def secret_of(self, instance: str) -> dict[str, str]:
        """Return what the Secret holds, in plain text; empty where there is none."""
        data = self.owned(instance).get("Secret", {}).get("data", {})
        return {key: b64decode(value).decode() for key, value in data.items()}

    async def edit(self, kind: str, name: str, patch: object, content_type: str = MERGE_PATCH) -> Object:
        """Change an object, as somebody who is not the operator; the watch has told of it on return."""
        edited: Object = await self._request("PATCH", RESOURCES[kind], name, patch, content_type)
        newest, follow = version(edited), self.follows[kind]
        await self.live.until(lambda: follow.version >= newest, f"version {newest} of {kind} {name}")
        return edited

    async def edit_status(self, kind: str, name: str, status: Object) -> None:
        """Say something about an object, as its controller or the kubelet would."""
        path = RESOURCES[kind].path(self.namespace, name) + "/status"
        await self.live.request("PATCH", path, {"status": status}, MERGE_PATCH)

    async def create(self, manifest: Object) -> Object:
        created: Object = await self._request("POST", RESOURCES[manifest["kind"]], None, manifest)
        return created

    async def delete(self, kind: str, name: str) -> None:
        """Delete an object. Gone already is as good."""
        try:
            await self._request("DELETE", RESOURCES[kind], name, {"propagationPolicy": "Background"})
        except Refused as error:
            if error.code != 404:
                raise

    # --- pods

    def pods(self, instance: str) -> dict[str, Object]:
        """Return the pods that are not about to go, by uid."""
        found = (it for it in self.now("Pod").values() if _owner(it) == instance and not is_ending(it))
        return {it["metadata"]["uid"]: it for it in found}

    def pods_ever(self, instance: str) -> set[str]:
        """Return the uids of all pods that there ever were."""
        return {it.object["metadata"]["uid"] for it in self.follows["Pod"].log if _owner(it.object) == instance}

    def served_by(self, instance: str) -> set[str]:
        """Return the names of the pods behind the Service."""
        return _ready_targets(self.now(SLICES.kind).values(), instance)

    def ever_served(self, instance: str) -> set[str]:
        """Return the names of all pods that ever were behind the Service."""
        return _ready_targets((it.object for it in self.follows[SLICES.kind].log), instance)

    async def behave(self, instance: str, how: str) -> None:
        """Tell the pods of an instance how to behave from now on: as an image of that name, or `well`."""
        note = {"metadata": {"annotations": {BEHAVES: how}}}
        names = [it["metadata"]["name"] for it in self.pods(instance).values()]
        await asyncio.gather(*(self.edit("Pod", name, note) for name in names))

    # --- waiting

    async def until_pods(self, instance: str, count: int) -> dict[str, Object]:
        """Wait until there are so many pods and none about to go besides; return them."""
        everyone = lambda: [it for it in self.now("Pod").values() if _owner(it) == instance]  # noqa: E731
        what = f"{count} pods of {instance}"
        await self.live.until(lambda: len(everyone()) == count == len(self.pods(instance)), what)
        return self.pods(instance)

    async def until_owned(self, instance: str, *kinds: str, seconds: float = 30) -> None:
        """Wait until an instance owns objects of exactly these kinds."""
        what = f"{instance} owns {', '.join(sorted(kinds)) or 'nothing'}"
        await self.live.until(lambda: self.owned(instance).keys() == set(kinds), what, seconds)

    async def until_served(self, instance: str, count: int) -> None:
        """Wait until so many pods are behind the Service."""
        await self.live.until(lambda: len(self.served_by(instance)) == count, f"{count} endpoints of {instance}")

    async def until_users(self, *users: str, template: str = "web") -> None:
        """Wait until a template counts its users, and says who they are."""
        expected = {"users": len(users), "usedBy": sorted(users)[:USERS_SHOWN]}

        def holds() -> bool:
            status = self.template_status(template)
            return {key: status.get(key) for key in expected} == expected

        await self.live.until(holds, f"{template} is used by {', '.join(users) or 'nobody'}")

    async def _request(
        self, method: str, resource: Resource, name: str | None, body: object, content_type: str = "application/json"
    ) -> Any:
        manager = urlencode({"fieldManager": "somebody"})
        return await self.live.request(method, f"{resource.path(self.namespace, name)}?{manager}", body, content_type)


def is_ending(found: Object) -> bool:
    return "deletionTimestamp" in found["metadata"]


def _ready_targets(slices: Iterable[Object], instance: str) -> set[str]:
    return {
        endpoint["targetRef"]["name"]
        for it in slices
        if it["metadata"]["labels"].get(LABEL_INSTANCE) == instance  # as on the Service
        for endpoint in it["endpoints"] or ()
        if endpoint["conditions"].get("ready")
    }


def _owner(found: Object) -> str | None:
    name: str | None = found["metadata"].get("labels", {}).get(LABEL_INSTANCE)
    return name


@asynccontextmanager
async def watching_workloads(live: LiveInstances) -> AsyncIterator[Workloads]:
    """Follow what there is besides the instances."""
    workloads = Workloads(live)
    following = [asyncio.create_task(follow.run()) for follow in workloads.follows.values()]
    try:
        for follow in workloads.follows.values():
            await follow.listed.wait()
        yield workloads
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


def seen_versions(follow: WatchRecorder, name: str) -> list[Object]:
    """Return every version of an object that a watch has told."""
    return [it.object for it in follow.log if it.name == name]
