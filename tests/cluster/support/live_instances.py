"""HopperInstances while an operator works on them: written without kubectl, which is slow to start, and watched."""

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
from tests.cluster.support.watch_recorder import Object, WatchRecorder, version

MERGE_PATCH = "application/merge-patch+json"
CONCURRENCY = 16
_LOOK_SECONDS = 0.05


class Refused(Exception):  # noqa: N818
    """The API server said no; `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class LiveInstances:
    """The instances and the Events of one namespace."""

    def __init__(self, session: aiohttp.ClientSession, namespace: str) -> None:
        self._session = session
        self.namespace = namespace
        self.path = f"/apis/hopper.dev/v1/namespaces/{namespace}/hopperinstances"
        self._news = asyncio.Event()
        self.instances = WatchRecorder(session, self.path, self._news.set)
        self.events = WatchRecorder(session, f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", self._news.set)

    def follow(self, path: str) -> WatchRecorder:
        """Return what follows another collection while it is run; its news wake `until` as well."""
        return WatchRecorder(self._session, path, self._news.set)

    def __getitem__(self, name: str) -> Object:
        return self.instances.now[name]

    def __contains__(self, name: str) -> bool:
        return name in self.instances.now

    @property
    def names(self) -> set[str]:
        return set(self.instances.now)

    # --- writing

    async def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        headers = {"Content-Type": content_type}
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, path, data=data, headers=headers) as response:
            answer = await response.json(content_type=None) if "json" in response.content_type else None
            text = answer.get("message", "") if answer else await response.text()
            if response.status >= 400:
                raise Refused(response.status, text)
        return text if answer is None else answer

    async def create(self, name: str, scope: str = "Project", parent: str | None = None, **spec: Any) -> Object:
        return await self.create_from(manifest(name, scope, parent, **spec))

    async def create_from(self, *manifests: Object) -> Object:
        """Create them all, many at a time; return the last one."""
        gate = asyncio.Semaphore(CONCURRENCY)

        async def post(body: Object) -> Object:
            async with gate:
                created: Object = await self.request("POST", self.path, body)
                return await self._seen(created)

        return (await asyncio.gather(*map(post, manifests)))[-1]

    async def edit(self, name: str, **spec: Any) -> Object:
        """Change fields of the spec; None removes one."""
        return await self.patch(name, {"spec": spec})

    async def edit_all(self, names: Iterable[str], **spec: Any) -> None:
        await asyncio.gather(*(self.edit(name, **spec) for name in names))

    async def patch(self, name: str, body: Object, subresource: str = "") -> Object:
        return await self._seen(await self.request("PATCH", f"{self.path}/{name}{subresource}", body, MERGE_PATCH))

    async def delete(self, name: str, propagation: str = "Background") -> None:
        await self.request("DELETE", f"{self.path}/{name}", {"propagationPolicy": propagation})

    async def _seen(self, written: Object) -> Object:
        """Wait until the watch has caught up with a write."""
        newest = version(written)
        if self.instances.listed.is_set():
            await self.until(lambda: self.instances.version >= newest, f"version {newest}")
        return written

    async def let_go(self) -> None:
        """Take away what would hold up the deletion of the namespace where no operator runs any more."""
        found = await self.request("GET", self.path)
        for item in found["items"]:
            metadata = item["metadata"]
            if metadata.get("finalizers") or item["spec"].get("deletionProtection"):
                open_up = {"metadata": {"finalizers": None}, "spec": {"deletionProtection": False}}
                await self.patch(metadata["name"], open_up)

    # --- waiting

    async def until(self, holds: Callable[[], Any], what: str, seconds: float = 30) -> None:
        """Wait for a condition on what the watches have told, or on something else, which is looked at now and then."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    self._news.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{self.describe()}") from None

    async def until_phase(self, phase: str, *names: str, seconds: float = 30) -> None:
        """Wait until these instances are in a phase, and the status answers the newest spec."""
        wanted = names or tuple(self.instances.now)
        holds = lambda: all(self.phase(name) == phase and self.is_observed(name) for name in wanted)  # noqa: E731
        await self.until(holds, f"{', '.join(wanted)} in {phase}", seconds)

    async def until_reason(self, name: str, kind: str, reason: str, seconds: float = 30) -> Object:
        """Wait until a condition has a reason and answers the newest spec; return the condition."""
        holds = lambda: self.is_observed(name) and self.condition(name, kind).get("reason") == reason  # noqa: E731
        await self.until(holds, f"{name}: {kind} for {reason}", seconds)
        return self.condition(name, kind)

    async def until_gone(self, *names: str, seconds: float = 30) -> None:
        await self.until(lambda: not self.names & set(names), f"{', '.join(names)} gone", seconds)

    async def until_event(self, name: str, reason: str, seconds: float = 30) -> Object:
        """Wait for an Event about an instance; return it."""
        await self.until(lambda: self.events_of(name, reason), f"an Event {reason} of {name}", seconds)
        return self.events_of(name, reason)[0]

    # --- reading

    def status(self, name: str) -> Object:
        return self.instances.now.get(name, {}).get("status", {})

    def phase(self, name: str) -> str | None:
        return self.status(name).get("phase")

    def is_observed(self, name: str) -> bool:
        found = self.instances.now.get(name)
        return found is not None and self.status(name).get("observedGeneration") == found["metadata"]["generation"]

    def condition(self, name: str, kind: str) -> Object:
        """Return a condition, empty where it is not there."""
        return next((it for it in self.status(name).get("conditions", ()) if it["type"] == kind), {})

    def is_ready(self, name: str) -> bool:
        return self.is_observed(name) and self.condition(name, "Ready").get("status") == "True"

    def steps(self, name: str) -> list[str]:
        """Return the phases of the history: where it began, and each one entered."""
        history = self.status(name).get("history", [])
        return [history[0]["from"], *(entry["to"] for entry in history)] if history else []

    def owners(self, name: str) -> list[str]:
        return [it["name"] for it in self[name]["metadata"].get("ownerReferences", [])]

    def events_of(self, name: str, reason: str | None = None) -> list[Object]:
        found = (it for it in self.events.now.values() if it["regarding"]["name"] == name)
        return [it for it in found if reason in (None, it["reason"])]

    def moment(self, name: str, phase: str, since: int = 0) -> int:
        """Return the place in the log where an instance was first seen in a phase."""
        for place, seen in enumerate(self.instances.log[since:], since):
            if seen.name == name and seen.object.get("status", {}).get("phase") == phase:
                return place
        raise AssertionError(f"{name} never was {phase}\n{self.describe()}")

    def moment_gone(self, name: str) -> int:
        """Return the place in the log where an instance was deleted."""
        return next(i for i, seen in enumerate(self.instances.log) if seen.kind == "DELETED" and seen.name == name)

    def describe(self) -> str:
        """Say how everything is, for a test that fails."""
        lines = []
        for name in sorted(self.instances.now):
            ready = self.condition(name, "Ready")
            wanted = self[name]["spec"].get("desiredState")
            told = f"{ready.get('reason')}: {ready.get('message')}"
            lines.append(f"  {name}: wants {wanted}, is {self.phase(name)}, Ready={ready.get('status')} ({told})")
        return "\n".join(lines) or "  (no instances)"

    def story(self) -> str:
        """Tell what has been written, one line for each version, for a test that counts writes."""
        return "\n".join(
            f"  {version(seen.object)} {seen.kind} {seen.name}"
            f" generation={seen.object['metadata'].get('generation')}: {json.dumps(seen.object.get('status', {}))}"
            for seen in self.instances.log
        )


def manifest(name: str, scope: str = "Project", parent: str | None = None, **spec: Any) -> Object:
    """Return a HopperInstance as a user writes it."""
    if parent is not None:
        spec["parentRef"] = {"name": parent}
    return {
        "apiVersion": "hopper.dev/v1",
        "kind": "HopperInstance",
        "metadata": {"name": name},
        "spec": {"scope": scope, **spec},
    }


@asynccontextmanager
async def watching(namespace: str) -> AsyncIterator[LiveInstances]:
    """Follow a namespace of the cluster that KUBECONFIG names."""
    async with _session() as session:
        live = LiveInstances(session, namespace)
        following = [asyncio.create_task(follow.run()) for follow in (live.instances, live.events)]
        try:
            await live.instances.listed.wait()
            await live.events.listed.wait()
            yield live
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)


@asynccontextmanager
async def fresh_namespace() -> AsyncIterator[LiveInstances]:
    """Follow a new namespace; it is deleted afterwards, with all that is in it, without waiting for the end of that."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    async with _session() as session:
        bare = LiveInstances(session, name)
        await bare.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        try:
            async with watching(name) as live:
                yield live
        finally:
            await bare.let_go()
            await bare.request("DELETE", f"/api/v1/namespaces/{name}")


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    credentials = await (await connect()).credentials()
    connector = aiohttp.TCPConnector(ssl=_tls(credentials), limit=0)
    async with aiohttp.ClientSession(credentials.server, connector=connector, read_bufsize=2**21) as session:
        yield session


def _tls(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=credentials.ca_path)
    if credentials.certificate_path:
        context.load_cert_chain(credentials.certificate_path, credentials.private_key_path)
    return context
