"""Kubernetes Events: aggregated, sent with low priority, and dropped rather than delayed without end."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

from hopper.adapters.kube import KubeClient
from hopper.api.instance import HopperInstance
from hopper.api.names import API_VERSION, EVENT_SOURCE, INSTANCE_KIND
from hopper.ports import ApiError

logger = logging.getLogger(__name__)

_CAPACITY = 10_000
_CONCURRENCY = 4
# Events are sent once reconciling has been idle for `_QUIET_SECONDS`. If it never is, an Event is sent after
# `_LONGEST_WAIT_SECONDS`, followed by a pause, so that Events use little of the API server's capacity.
_QUIET_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 10.0
_PAUSE_SECONDS = 0.1
_NOTE_LIMIT = 1024  # bytes, the limit of the Events API


@dataclass(frozen=True, slots=True)
class _Event:
    namespace: str
    name: str
    uid: str
    resource_version: str
    reason: str
    note: str
    warning: bool


class KubeEventRecorder:
    """`ports.EventRecorder` on an API server.

    Equal Events that wait are counted into one. A full queue drops new Events. `quiet_seconds` returns how long
    reconciling has been idle, and `on_drop` is called for each Event that is not sent.
    """

    def __init__(
        self,
        kube: KubeClient,
        *,
        reporter: str,
        quiet_seconds: Callable[[], float] = lambda: _QUIET_SECONDS,
        on_drop: Callable[[], None] = lambda: None,
    ) -> None:
        self._kube = kube
        self._reporter = reporter
        self._quiet_seconds = quiet_seconds
        self._on_drop = on_drop
        # By uid, reason and message: the Event, when it was first recorded, and how often.
        self._pending: dict[tuple[str, str, str], tuple[_Event, datetime, int]] = {}
        self._added = asyncio.Event()

    def record(self, instance: HopperInstance, *, reason: str, message: str, warning: bool = False) -> None:
        key = (instance.metadata.uid, reason, message)
        if pending := self._pending.get(key):
            self._pending[key] = (*pending[:2], pending[2] + 1)
            return
        if len(self._pending) >= _CAPACITY:
            self._on_drop()
            return
        metadata = instance.metadata
        event = _Event(
            metadata.namespace, metadata.name, metadata.uid, metadata.resource_version, reason, message, warning
        )
        self._pending[key] = (event, datetime.now(UTC), 1)
        self._added.set()

    def __len__(self) -> int:
        """Return the number of Events that wait."""
        return len(self._pending)

    async def run(self) -> None:
        """Send Events until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(_CONCURRENCY):
                workers.create_task(self._send_all())

    async def _send_all(self) -> None:
        while True:
            is_quiet = await self._wait_until_due()
            event, first, count = self._pending.pop(next(iter(self._pending)))
            try:
                await self._send(event, first, count)
            except ApiError as error:
                self._on_drop()
                logger.debug("Event dropped: %s", error)
            if not is_quiet:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _wait_until_due(self) -> bool:
        """Wait until an Event may be sent. Return whether reconciling is idle; otherwise the Event waited too long."""
        while True:
            if not self._pending:
                self._added.clear()
                await self._added.wait()
                continue
            _, first, _ = next(iter(self._pending.values()))
            waited = (datetime.now(UTC) - first).total_seconds()
            until_quiet, until_late = _QUIET_SECONDS - self._quiet_seconds(), _LONGEST_WAIT_SECONDS - waited
            if until_quiet <= 0 or until_late <= 0:
                return until_quiet <= 0
            await asyncio.sleep(max(min(until_quiet, until_late), 0.01))

    async def _send(self, event: _Event, first: datetime, count: int) -> None:
        path = f"/apis/events.k8s.io/v1/namespaces/{quote(event.namespace)}/events"
        await self._kube.request("POST", path, resource="events", body=self._body(event, first, count))

    def _body(self, event: _Event, first: datetime, count: int) -> dict[str, Any]:
        # The name is a digest of the content, so that an Event sent twice is stored once.
        content = f"{event.uid} {first.timestamp()} {event.reason} {event.note}"
        digest = blake2b(content.encode(), digest_size=8).hexdigest()
        body: dict[str, Any] = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{event.name}.{digest}", "namespace": event.namespace},
            "eventTime": _format_time(first),
            "reportingController": EVENT_SOURCE,
            "reportingInstance": self._reporter,
            "action": "Reconcile",
            "reason": event.reason,
            "note": event.note.encode()[:_NOTE_LIMIT].decode(errors="ignore"),
            "type": "Warning" if event.warning else "Normal",
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": INSTANCE_KIND,
                "namespace": event.namespace,
                "name": event.name,
                "uid": event.uid,
                "resourceVersion": event.resource_version,
            },
        }
        if count > 1:
            body["series"] = {"count": count, "lastObservedTime": _format_time(datetime.now(UTC))}
        return body


def _format_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
