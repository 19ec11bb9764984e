"""Kubernetes Events, in a lane of their own: best effort, aggregated, never in the way of the real work."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

from hopper.adapters.kube import Kube
from hopper.api.instance import HopperInstance
from hopper.api.names import API_VERSION, EVENT_SOURCE, INSTANCE_KIND
from hopper.ports import ApiError

logger = logging.getLogger(__name__)

_CAPACITY = 10_000
_CONCURRENCY = 4
# Events go out once the real work has rested this long, or, while it never does, when they have waited that long;
# then with a pause after each, so that they take little of what the work needs.
_QUIET_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 10.0
_PAUSE_SECONDS = 0.1
_NOTE_LIMIT = 1024  # bytes, set by the Events API


@dataclass(frozen=True, slots=True)
class _Announcement:
    namespace: str
    name: str
    uid: str
    resource_version: str
    reason: str
    note: str
    warning: bool


class EventLane:
    """`ports.EventSink`. Equal announcements that still wait are counted into one Event; a full lane drops new ones.

    `quiet_seconds` answers for how long the real work has rested.
    """

    def __init__(
        self,
        kube: Kube,
        *,
        reporter: str,
        quiet_seconds: Callable[[], float] = lambda: _QUIET_SECONDS,
        on_drop: Callable[[], None] = lambda: None,
    ) -> None:
        self._kube = kube
        self._reporter = reporter
        self._quiet_seconds = quiet_seconds
        self._on_drop = on_drop
        self._pending: dict[tuple[str, str, str], tuple[_Announcement, datetime, int]] = {}
        self._added = asyncio.Event()

    def announce(self, instance: HopperInstance, *, reason: str, message: str, warning: bool = False) -> None:
        key = (instance.metadata.uid, reason, message)
        if waiting := self._pending.get(key):
            self._pending[key] = (*waiting[:2], waiting[2] + 1)
            return
        if len(self._pending) >= _CAPACITY:
            self._on_drop()
            return
        metadata = instance.metadata
        announcement = _Announcement(
            metadata.namespace, metadata.name, metadata.uid, metadata.resource_version, reason, message, warning
        )
        self._pending[key] = (announcement, datetime.now(UTC), 1)
        self._added.set()

    def __len__(self) -> int:
        """Count the Events that still wait."""
        return len(self._pending)

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(_CONCURRENCY):
                workers.create_task(self._send_all())

    async def _send_all(self) -> None:
        while True:
            in_a_lull = await self._next_is_due()
            announcement, first, count = self._pending.pop(next(iter(self._pending)))
            try:
                await self._send(announcement, first, count)
            except ApiError as error:
                self._on_drop()
                logger.debug("event not sent: %s", error)
            if not in_a_lull:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _next_is_due(self) -> bool:
        """Wait until there is something to send and it may go; tell whether that is because the real work rests."""
        while True:
            if not self._pending:
                self._added.clear()
                await self._added.wait()
                continue
            _, first, _ = next(iter(self._pending.values()))
            waited = (datetime.now(UTC) - first).total_seconds()
            lull, patience = _QUIET_SECONDS - self._quiet_seconds(), _LONGEST_WAIT_SECONDS - waited
            if lull <= 0 or patience <= 0:
                return lull <= 0
            await asyncio.sleep(max(min(lull, patience), 0.01))

    async def _send(self, it: _Announcement, first: datetime, count: int) -> None:
        path = f"/apis/events.k8s.io/v1/namespaces/{quote(it.namespace)}/events"
        await self._kube.request("POST", path, resource="events", body=self._body(it, first, count))

    def _body(self, it: _Announcement, first: datetime, count: int) -> dict[str, Any]:
        # The name follows from the content: an Event sent twice is stored once.
        digest = blake2b(f"{it.uid} {first.timestamp()} {it.reason} {it.note}".encode(), digest_size=8).hexdigest()
        body: dict[str, Any] = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{it.name}.{digest}", "namespace": it.namespace},
            "eventTime": _micro(first),
            "reportingController": EVENT_SOURCE,
            "reportingInstance": self._reporter,
            "action": "Reconcile",
            "reason": it.reason,
            "note": it.note.encode()[:_NOTE_LIMIT].decode(errors="ignore"),
            "type": "Warning" if it.warning else "Normal",
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": INSTANCE_KIND,
                "namespace": it.namespace,
                "name": it.name,
                "uid": it.uid,
                "resourceVersion": it.resource_version,
            },
        }
        if count > 1:
            body["series"] = {"count": count, "lastObservedTime": _micro(datetime.now(UTC))}
        return body


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
