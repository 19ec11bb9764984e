"""HopperInstances and Events of one namespace: written over HTTP, which is faster than kubectl, and watched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from hopper.adapters.connection import Credentials, connect
from hopper.api.bounded_json import decode_json
from hopper.api.resources import Manifest
from tests.cluster.support.watch_recorder import WatchRecorder, resource_version

MERGE_PATCH = "application/merge-patch+json"
CONCURRENCY = 16
_POLL_SECONDS = 0.05


class RefusedError(Exception):
    """Error response of the API server; `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class LiveInstances:
    """Instances and Events of one namespace, kept current by watches."""

    def __init__(self, session: aiohttp.ClientSession, namespace: str) -> None:
        self._session = session
        self.namespace = namespace
        self.path = f"/apis/hopper.dev/v1/namespaces/{namespace}/hopperinstances"
        self._changed = asyncio.Event()
        self.instances = self.recorder(self.path)
        self.events = self.recorder(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")

    def recorder(self, path: str) -> WatchRecorder:
        """Return a recorder of another collection. Its watch events wake up `until` as well."""
        return WatchRecorder(self._session, path, self._changed.set)

    def __getitem__(self, name: str) -> Manifest:
        return self.instances.objects[name]

    def __contains__(self, name: str) -> bool:
        return name in self.instances.objects

    @property
    def names(self) -> set[str]:
        return set(self.instances.objects)

    # --- writing

    async def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """Send a request to the API server and return the parsed body; raise RefusedError for an error response.

        A body that is text is sent unchanged.
        """
        headers = {"Content-Type": content_type}
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        async with self._session.request(method, path, data=data, headers=headers) as response:
            answer = decode_json(await response.text()) if "json" in response.content_type else None
            text = answer.get("message", "") if answer else await response.text()
            if response.status >= 400:
                raise RefusedError(response.status, text)
        return text if answer is None else answer

    async def create(self, name: str, scope: str = "Project", parent: str | None = None, **spec: Any) -> Manifest:
        return await self.create_from(manifest(name, scope, parent, **spec))

    async def create_from(self, *manifests: Manifest) -> Manifest:
        """Create all of these instances concurrently; return the last one."""
        limit = asyncio.Semaphore(CONCURRENCY)

        async def post(body: Manifest) -> Manifest:
            async with limit:
                created: Manifest = await self.request("POST", self.path, body)
                return await self._until_watched(created)

        return (await asyncio.gather(*map(post, manifests)))[-1]

    async def edit(self, name: str, **spec: Any) -> Manifest:
        """Change fields of the spec; None removes a field."""
        return await self.patch(name, {"spec": spec})

    async def edit_all(self, names: Iterable[str], **spec: Any) -> None:
        await asyncio.gather(*(self.edit(name, **spec) for name in names))

    async def patch(self, name: str, body: Manifest, subresource: str = "") -> Manifest:
        patched: Manifest = await self.request("PATCH", f"{self.path}/{name}{subresource}", body, MERGE_PATCH)
        return await self._until_watched(patched)

    async def delete(self, name: str, propagation: str = "Background") -> None:
        await self.request("DELETE", f"{self.path}/{name}", {"propagationPolicy": propagation})

    async def _until_watched(self, written: Manifest) -> Manifest:
        """Wait until the watch has delivered a write, and return it."""
        version = resource_version(written)
        if self.instances.listed.is_set():
            await self.until(lambda: self.instances.newest_version >= version, f"watch event for version {version}")
        return written

    async def release_all(self) -> None:
        """Remove finalizers and deletion protection, so that the namespace can be deleted without an operator."""
        listed = await self.request("GET", self.path)
        for item in listed["items"]:
            metadata = item["metadata"]
            if metadata.get("finalizers") or item["spec"].get("deletionProtection"):
                released = {"metadata": {"finalizers": None}, "spec": {"deletionProtection": False}}
                await self.patch(metadata["name"], released)

    # --- waiting

    async def until(self, holds: Callable[[], Any], description: str, seconds: float = 30) -> None:
        """Wait until a condition holds: checked after each watch event, and at short intervals for anything else."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    self._changed.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_POLL_SECONDS):
                            await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not within {seconds:.0f} s: {description}\n{self.describe()}") from None

    async def until_phase(self, phase: str, *names: str, seconds: float = 30) -> None:
        """Wait until these instances (all, without names) are in a phase and their status reflects the newest spec."""
        expected = names or tuple(self.instances.objects)
        holds = lambda: all(self.phase(name) == phase and self.is_observed(name) for name in expected)  # noqa: E731
        await self.until(holds, f"{', '.join(expected)} in phase {phase}", seconds)

    async def until_reason(self, name: str, condition_type: str, reason: str, seconds: float = 30) -> Manifest:
        """Wait until a condition has a reason and reflects the newest spec; return the condition."""

        def holds() -> bool:
            return self.is_observed(name) and self.condition(name, condition_type).get("reason") == reason

        await self.until(holds, f"condition {condition_type} of {name} with reason {reason}", seconds)
        return self.condition(name, condition_type)

    async def until_gone(self, *names: str, seconds: float = 30) -> None:
        await self.until(lambda: not self.names & set(names), f"{', '.join(names)} deleted", seconds)

    async def until_event(self, name: str, reason: str, seconds: float = 30) -> Manifest:
        """Wait for an Event about an instance; return the Event."""
        await self.until(lambda: self.events_of(name, reason), f"Event about {name} with reason {reason}", seconds)
        return self.events_of(name, reason)[0]

    # --- reading

    def status(self, name: str) -> Manifest:
        return self.instances.objects.get(name, {}).get("status", {})

    def phase(self, name: str) -> str | None:
        return self.status(name).get("phase")

    def is_observed(self, name: str) -> bool:
        """Whether the instance exists and its status reflects the newest spec."""
        instance = self.instances.objects.get(name)
        return (
            instance is not None and self.status(name).get("observedGeneration") == instance["metadata"]["generation"]
        )

    def condition(self, name: str, condition_type: str) -> Manifest:
        """Return a condition, or an empty record without such a condition."""
        conditions = self.status(name).get("conditions", ())
        return next((condition for condition in conditions if condition["type"] == condition_type), {})

    def is_ready(self, name: str) -> bool:
        return self.is_observed(name) and self.condition(name, "Ready").get("status") == "True"

    def phase_history(self, name: str) -> list[str]:
        """Return the phases in the history: the first phase, and then each phase entered."""
        history = self.status(name).get("history", [])
        return [history[0]["from"], *(entry["to"] for entry in history)] if history else []

    def owner_names(self, name: str) -> list[str]:
        return [owner["name"] for owner in self[name]["metadata"].get("ownerReferences", [])]

    def events_of(self, name: str, reason: str | None = None) -> list[Manifest]:
        events = (event for event in self.events.objects.values() if event["regarding"]["name"] == name)
        return [event for event in events if reason in (None, event["reason"])]

    def index_of_phase(self, name: str, phase: str, since: int = 0) -> int:
        """Return the index in the log of the first version of an instance that is in a phase."""
        for index, event in enumerate(self.instances.log[since:], since):
            if event.name == name and event.object.get("status", {}).get("phase") == phase:
                return index
        raise AssertionError(f"{name} was never in phase {phase}\n{self.describe()}")

    def index_of_deletion(self, name: str) -> int:
        """Return the index in the log of the deletion of an instance."""
        events = enumerate(self.instances.log)
        return next(index for index, event in events if event.event_type == "DELETED" and event.name == name)

    def describe(self) -> str:
        """Return the state of every instance, one per line, for the message of a failed test."""
        lines = []
        for name in sorted(self.instances.objects):
            ready = self.condition(name, "Ready")
            desired = self[name]["spec"].get("desiredState")
            why = f"{ready.get('reason')}: {ready.get('message')}"
            lines.append(f"  {name}: desired {desired}, phase {self.phase(name)}, Ready={ready.get('status')} ({why})")
        return "\n".join(lines) or "  (no instances)"

    def describe_log(self) -> str:
        """Return every recorded version of every instance, one per line, for a test that counts writes."""
        return "\n".join(
            f"  {resource_version(event.object)} {event.event_type} {event.name}"
            f" generation={event.object['metadata'].get('generation')}: {json.dumps(event.object.get('status', {}))}"
            for event in self.instances.log
        )


def manifest(name: str, scope: str = "Project", parent: str | None = None, **spec: Any) -> Manifest:
    """Return the manifest of a HopperInstance as a user writes it."""
    if parent is not None:
        spec["parentRef"] = {"name": parent}
    return {
        "apiVersion": "hopper.dev/v1",
        "kind": "HopperInstance",
        "metadata": {"name": name},
        "spec": {"scope": scope, **spec},
    }


def numbered_names(count: int, prefix: str = "n") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


@asynccontextmanager
async def watched_namespace(namespace: str) -> AsyncIterator[LiveInstances]:
    """Watch a namespace of the cluster in KUBECONFIG."""
    async with api_session() as session:
        live = LiveInstances(session, namespace)
        async with running_recorders(live.instances, live.events):
            yield live


@asynccontextmanager
async def running_recorders(*recorders: WatchRecorder) -> AsyncIterator[None]:
    """Run recorders until the end of the context; each has listed its collection when the context begins."""
    tasks = [asyncio.create_task(recorder.run()) for recorder in recorders]
    try:
        for recorder in recorders:
            await recorder.listed.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def fresh_namespace() -> AsyncIterator[LiveInstances]:
    """Create and watch a namespace. Its deletion is requested at the end of the context and not waited for."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    async with api_session() as session:
        unwatched = LiveInstances(session, name)
        await unwatched.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        try:
            async with watched_namespace(name) as live:
                yield live
        finally:
            await unwatched.release_all()
            await unwatched.request("DELETE", f"/api/v1/namespaces/{name}")


@asynccontextmanager
async def api_session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open an HTTP session with the API server, authenticated as KUBECONFIG says."""
    credentials = await (await connect()).credentials()
    connector = aiohttp.TCPConnector(ssl=_tls(credentials), limit=0)
    async with aiohttp.ClientSession(credentials.server, connector=connector, read_bufsize=2**21) as session:
        yield session


def _tls(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=credentials.ca_path)
    if credentials.certificate_path:
        context.load_cert_chain(credentials.certificate_path, credentials.private_key_path)
    return context
