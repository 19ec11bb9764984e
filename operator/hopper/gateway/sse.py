"""Server-sent events: what the journal tells, to whoever follows it.

A stream begins with `snapshot`, which names the revision that it goes on from: read `/registry/topology` for the state.
Where `Last-Event-ID` names a revision that is still known, it goes on from there without one; where it does not,
`snapshot` says `reset`: something may have been missed.
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
from hopper.gateway.models.words import SCOPES, STATUSES

KEEP_ALIVE = b": keep-alive\n\n"
_RETRY = b"retry: 1000\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# How the words of the journal are answered.
_WORDS: Mapping[str, Mapping[str, str]] = {
    "scope": {it.value: word for it, word in SCOPES.items()},
    "phase": {it.value: word for it, word in STATUSES.items()},
}
_NAMES = {"phase": "status", "parent": "parent_id"}

# Tells whether the caller still may follow.
StillAllowed = Callable[[], Awaitable[bool]]


def event(kind: str, data: Mapping[str, Any], token: str) -> bytes:
    """Return one event as it goes over the wire."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (token.encode(), kind.encode(), to_json(data))


def describe(entry: JournalEntry, token: str) -> dict[str, Any]:
    """Return what an entry of the journal tells."""
    detail = {}
    for key, value in entry.detail.items():
        words = _WORDS["phase"] if entry.kind is EventKind.TRANSITION and key in ("from", "to") else _WORDS.get(key)
        detail[_NAMES.get(key, key)] = words.get(value, value) if words and value else value
    about = {"revision": token, "time": entry.time, "namespace": entry.namespace, "id": entry.name, "uid": entry.uid}
    return about | detail


class EventStream(Response):
    """Follows the journal for one caller in one namespace, until either side ends it."""

    media_type = "text/event-stream"

    def __init__(
        self,
        context: Context,
        namespace: str,
        last_id: str | None,
        still_allowed: StillAllowed,
        caller: str | None = None,
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._context = context
        self._namespace = namespace
        self._last_id = last_id
        self._still_allowed = still_allowed
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._context.streams.one(self._caller):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            ends = [asyncio.create_task(it) for it in (self._pump(send), until_gone(receive))]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in ends:
                    task.cancel()
                await asyncio.gather(*ends, return_exceptions=True)
            with contextlib.suppress(OSError):  # the other side has gone
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> None:
        async for chunk in self.chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what is sent: events as they happen, and a sign of life where none do."""
        journal, loop = self._context.catalogue.journal, asyncio.get_running_loop()
        asked = loop.time()
        known = journal.revision_of(self._last_id) if self._last_id else None
        entries, revision = (journal.since(known) if known is not None else None), journal.revision
        yield _RETRY
        reset = bool(self._last_id)
        while True:
            if entries is None:  # somebody new, or too long away: what was missed is not known any more
                yield self._snapshot(journal, revision, reset=reset)
            elif mine := [it for it in entries if it.namespace == self._namespace]:
                yield b"".join(self._tell(it, journal) for it in mine)
            reset = True
            news = await self._news(journal, revision)
            if self._context.stopping.is_set():
                return
            # However much there is to tell: who is no longer let in must not go on listening for long.
            if not news or loop.time() - asked >= self._context.settings.keepalive_seconds:
                if not await self._still_allowed():
                    return
                asked = loop.time()
            if not news:
                yield KEEP_ALIVE
            entries, revision = journal.since(revision), journal.revision

    async def _news(self, journal: Journal, revision: int) -> bool:
        """Wait until there is something new; False when nothing came for a while, or the gateway is about to end."""
        waits = [asyncio.create_task(it) for it in (journal.wait(revision), self._context.stopping.wait())]
        try:
            await asyncio.wait(
                waits, timeout=self._context.settings.keepalive_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            return waits[0].done() and not self._context.stopping.is_set()
        finally:
            for task in waits:
                task.cancel()

    def _snapshot(self, journal: Journal, revision: int, *, reset: bool) -> bytes:
        token = journal.token(revision)
        total = len(self._context.index(self._namespace))
        return event("snapshot", {"revision": token, "total": total, "reset": reset}, token)

    @staticmethod
    def _tell(entry: JournalEntry, journal: Journal) -> bytes:
        token = journal.token(entry.revision)
        return event(entry.kind.value, describe(entry, token), token)


async def until_gone(receive: Receive) -> None:
    """Return when the other side has gone; its request is read by then."""
    while (await receive())["type"] != "http.disconnect":
        pass
