"""Server-sent events: a stream of the journal's events in one namespace.

A stream begins with a `snapshot` event that contains its revision; clients then read the state from
`/registry/topology`. With a `Last-Event-ID` that the journal still contains, the stream continues after that event
without a snapshot. Otherwise the snapshot has `"reset": true`, because events may be missing.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from fastapi.responses import Response
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from hopper.gateway.context import Context
from hopper.gateway.discovery import EventKind, Journal, JournalEntry
from hopper.gateway.models.enums import SCOPES, STATUSES

KEEP_ALIVE = b": keep-alive\n\n"
_RETRY = b"retry: 1000\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# Names and values of the journal that differ in the REST API.
_VALUES: Mapping[str, Mapping[str, str]] = {
    "scope": {scope.value: value for scope, value in SCOPES.items()},
    "phase": {phase.value: value for phase, value in STATUSES.items()},
}
_NAMES = {"phase": "status", "parent": "parent_id"}

# Whether the caller still has the permission to watch.
IsStillGranted = Callable[[], Awaitable[bool]]


def encode_event(kind: str, data: Mapping[str, Any], token: str) -> bytes:
    """Return one event in the text/event-stream format."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (token.encode(), kind.encode(), to_json(data))


def event_data(entry: JournalEntry, token: str) -> dict[str, Any]:
    """Return the data of the event for a journal entry."""
    detail = {}
    for key, value in entry.detail.items():
        is_phase = entry.kind is EventKind.TRANSITION and key in ("from", "to")
        values = _VALUES["phase"] if is_phase else _VALUES.get(key)
        detail[_NAMES.get(key, key)] = values.get(value, value) if values and value else value
    subject = {"revision": token, "time": entry.time, "namespace": entry.namespace, "id": entry.name, "uid": entry.uid}
    return subject | detail


class EventStream(Response):
    """Stream of events for one caller in one namespace, until the client disconnects or the gateway stops."""

    media_type = "text/event-stream"

    def __init__(
        self,
        context: Context,
        namespace: str,
        last_event_id: str | None,
        is_still_granted: IsStillGranted,
        caller: str | None = None,
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._context = context
        self._namespace = namespace
        self._last_event_id = last_event_id
        self._is_still_granted = is_still_granted
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._context.stream_limit.acquire(self._caller):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            tasks = [asyncio.create_task(coro) for coro in (self._send_chunks(send), until_disconnected(receive))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(OSError):  # the client has disconnected
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_chunks(self, send: Send) -> None:
        async for chunk in self.chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the text of the stream: events as they occur, and comments that keep an idle connection open."""
        journal, loop = self._context.catalogue.journal, asyncio.get_running_loop()
        checked_at = loop.time()
        last_revision = journal.revision_of(self._last_event_id) if self._last_event_id else None
        entries, revision = (journal.since(last_revision) if last_revision is not None else None), journal.revision
        yield _RETRY
        reset = bool(self._last_event_id)
        while True:
            if entries is None:  # a new client, or one that has missed events
                yield self._snapshot(journal, revision, reset=reset)
            elif relevant := [entry for entry in entries if entry.namespace == self._namespace]:
                yield b"".join(self._encode(entry, journal) for entry in relevant)
            reset = True
            has_events = await self._wait_for_events(journal, revision)
            if self._context.stopping.is_set():
                return
            # The permission is checked at the same interval on a busy stream.
            if not has_events or loop.time() - checked_at >= self._context.settings.keepalive_seconds:
                if not await self._is_still_granted():
                    return
                checked_at = loop.time()
            if not has_events:
                yield KEEP_ALIVE
            entries, revision = journal.since(revision), journal.revision

    async def _wait_for_events(self, journal: Journal, revision: int) -> bool:
        """Wait for an event after a revision. Return False after the keep-alive interval, or if the gateway stops."""
        tasks = [asyncio.create_task(coro) for coro in (journal.wait(revision), self._context.stopping.wait())]
        try:
            await asyncio.wait(
                tasks, timeout=self._context.settings.keepalive_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            return tasks[0].done() and not self._context.stopping.is_set()
        finally:
            for task in tasks:
                task.cancel()

    def _snapshot(self, journal: Journal, revision: int, *, reset: bool) -> bytes:
        token = journal.token(revision)
        total = len(self._context.index(self._namespace))
        return encode_event("snapshot", {"revision": token, "total": total, "reset": reset}, token)

    @staticmethod
    def _encode(entry: JournalEntry, journal: Journal) -> bytes:
        token = journal.token(entry.revision)
        return encode_event(entry.kind.value, event_data(entry, token), token)


async def until_disconnected(receive: Receive) -> None:
    """Return when the client has disconnected. The body of its request must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
