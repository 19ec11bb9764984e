"""Client that can load the API server: it sends encoded bodies and does not decode answers."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp

from hopper.adapters.connection import Credentials, connect
from tests.bench.manifests import Kind

MERGE_PATCH = "application/merge-patch+json"
_TIMEOUT = aiohttp.ClientTimeout(total=60)
_RETRY_SECONDS = 0.1
_MAX_LINE_BYTES = 2**21


class RequestKey(NamedTuple):
    """The labels by which the API server's metrics count requests."""

    verb: str
    group: str
    resource: str
    subresource: str
    code: int


@dataclass(frozen=True, slots=True)
class Call:
    """A request with an encoded body."""

    method: str
    path: str
    kind: Kind
    subresource: str = ""
    body: bytes | None = None
    content_type: str = "application/json"


def create(kind: Kind, namespace: str, manifest: dict[str, Any]) -> Call:
    return Call("POST", kind.path(namespace), kind, body=encode(manifest))


def patch(kind: Kind, namespace: str, name: str, body: bytes, subresource: str = "") -> Call:
    """Return a merge patch."""
    return Call("PATCH", kind.path(namespace, name, subresource), kind, subresource, body, MERGE_PATCH)


def delete(kind: Kind, namespace: str, name: str) -> Call:
    return Call("DELETE", kind.path(namespace, name), kind)


def encode(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


class Client:
    """Requests to one API server. `sent` counts those for custom resources by the labels of the server's metrics."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server
        self.sent: Counter[RequestKey] = Counter()

    async def send(self, call: Call) -> bytes:
        """Send a request; return the body of the answer. Raises `RuntimeError` for codes from 400 on."""
        headers = {"Content-Type": call.content_type}
        url = self._server + call.path
        async with self._session.request(call.method, url, data=call.body, headers=headers) as response:
            payload = await response.read()
        self._count(call.method, call.kind, call.subresource, response.status)
        if response.status >= 400:
            raise RuntimeError(f"{call.method} {call.path}: {response.status} {payload[:300]!r}")
        return payload

    async def send_all(self, calls: Iterable[Call], concurrency: int) -> list[bytes]:
        """Send requests with a number of workers; return the answers in the order of their arrival."""
        pending = iter(calls)
        answers: list[bytes] = []

        async def work() -> None:
            for call in pending:
                answers.append(await self.send(call))  # noqa: PERF401

        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(work())
        return answers

    async def list(self, kind: Kind, namespace: str, query: str = "") -> bytes:
        """Return the whole list, undecoded."""
        async with self._session.get(f"{self._server}{kind.path(namespace)}?{query}") as response:
            payload = await response.read()
        self._count("LIST", kind, "", response.status)
        response.raise_for_status()
        return payload

    async def until_served(self, kind: Kind) -> None:
        """Wait until a new kind can be listed. Before, the API server answers 404, then 429 while it fills a cache."""
        async with asyncio.timeout(_TIMEOUT.total):
            while True:
                try:
                    await self.list(kind, "default")
                except aiohttp.ClientResponseError as error:
                    if error.status not in (404, 429):
                        raise
                else:
                    return
                await asyncio.sleep(_RETRY_SECONDS)

    async def get(self, path: str) -> str:
        async with self._session.get(self._server + path) as response:
            response.raise_for_status()
            return await response.text()

    async def make_namespace(self, name: str) -> None:
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        async with self._session.post(f"{self._server}/api/v1/namespaces", json=manifest) as response:
            response.raise_for_status()

    async def watch(self, kind: Kind, namespace: str, query: str) -> AsyncIterator[dict[str, Any]]:
        """Yield watch events until the server ends the watch."""
        url = f"{self._server}{kind.path(namespace)}?watch=1&{query}"
        unlimited = aiohttp.ClientTimeout(total=None)
        async with self._session.get(url, timeout=unlimited) as response:
            response.raise_for_status()
            async for line in response.content:
                yield json.loads(line)

    def _count(self, verb: str, kind: Kind, subresource: str, code: int) -> None:
        self.sent[RequestKey(verb, kind.group, kind.plural, subresource, code)] += 1


@asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    """Connect to the cluster that KUBECONFIG names."""
    credentials = await (await connect()).credentials()
    connector = aiohttp.TCPConnector(ssl=_tls(credentials), limit=128)
    session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, read_bufsize=_MAX_LINE_BYTES)
    async with session:
        yield Client(session, credentials.server)


def _tls(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=credentials.ca_path)
    if credentials.certificate_path:
        context.load_cert_chain(credentials.certificate_path, credentials.private_key_path)
    return context
