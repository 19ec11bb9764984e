"""Journal of the most recent events of instances and their relationships, for clients that follow them."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice

from hopper.api.instance import HistoryEntry, HopperInstance
from hopper.process.system import wall_clock
from hopper.registry.instances import InstanceChange

CAPACITY = 10_000


class EventKind(StrEnum):
    """Kind of a journal event."""

    REGISTERED = "registered"
    CHANGED = "changed"
    UNREGISTERED = "unregistered"
    CHILD_ADDED = "child_added"
    CHILD_REMOVED = "child_removed"
    PARENT_CHANGED = "parent_changed"
    TRANSITION = "transition"
    HEALTH = "health"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An event of the instance `name`. The keys of `detail` depend on the kind (docs/instance-registry.md)."""

    revision: int
    time: datetime
    kind: EventKind
    namespace: str
    name: str
    uid: str
    detail: Mapping[str, str | None] = field(default_factory=dict)


class Journal:
    """The last `capacity` events. Revisions increase by one with each event.

    A revision is valid within one process. Clients get tokens, which contain the `epoch` of the process, so that no
    process accepts a revision of another one.
    """

    def __init__(self, capacity: int = CAPACITY, clock: Callable[[], datetime] = wall_clock, epoch: str = "") -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=capacity)
        self._clock = clock
        self._epoch = epoch or uuid.uuid4().hex[:8]
        self._waiters: set[asyncio.Future[None]] = set()
        self._is_open = False
        self.revision = 0

    def open(self) -> None:
        """Start to record events. Before that, the initial list would be recorded as new instances."""
        self._is_open = True

    def token(self, revision: int) -> str:
        """Return the event id that clients see for a revision."""
        return f"{self._epoch}-{revision}"

    def revision_of(self, token: str) -> int | None:
        """Return the revision of a token of this process; None for any other text."""
        epoch, _, number = token.partition("-")
        is_valid = epoch == self._epoch and number.isascii() and number.isdigit() and len(number) < 20
        return int(number) if is_valid and int(number) <= self.revision else None

    def since(self, revision: int) -> list[JournalEntry] | None:
        """Return the events after a revision; None if some of them have been dropped."""
        count = self.revision - revision
        if count > len(self._entries) or count < 0:
            return None
        return list(islice(self._entries, len(self._entries) - count, None))

    async def wait(self, revision: int) -> None:
        """Return as soon as there is an event after this revision."""
        while self.revision <= revision:
            future = asyncio.get_running_loop().create_future()
            self._waiters.add(future)
            try:
                await future
            finally:
                self._waiters.discard(future)

    @property
    def waiter_count(self) -> int:
        """Number of pending calls of `wait`."""
        return len(self._waiters)

    def append(self, kind: EventKind, instance: HopperInstance, **detail: str | None) -> None:
        """Add one event."""
        if not self._is_open:
            return
        self.revision += 1
        entry = JournalEntry(
            self.revision, self._clock(), kind, instance.namespace, instance.name, instance.metadata.uid, detail
        )
        self._entries.append(entry)
        for future in self._waiters:
            if not future.done():
                future.set_result(None)

    def record(self, change: InstanceChange) -> None:
        """Add all events that follow from a change of the index."""
        old, new = change.old, change.new
        if old and new and old.metadata.uid != new.metadata.uid:
            self.record(InstanceChange(old, None))
            self.record(InstanceChange(None, new))
        elif new is None:
            self._record_parent(change.instance, change.instance.parent_name, None)
            self.append(EventKind.UNREGISTERED, change.instance)
        elif old is None:
            self.append(EventKind.REGISTERED, new, scope=new.spec.scope, phase=new.status.phase, parent=new.parent_name)
            self._record_parent(new, None, new.parent_name)
        else:
            self._record_update(old, new)

    def _record_update(self, old: HopperInstance, new: HopperInstance) -> None:
        if old.parent_name != new.parent_name:
            self._record_parent(new, old.parent_name, new.parent_name)
            self.append(EventKind.PARENT_CHANGED, new, **{"from": old.parent_name, "to": new.parent_name})
        for transition in _new_transitions(old.status.history, new.status.history):
            detail = {
                "from": transition.from_,
                "to": transition.to,
                "reason": transition.reason,
                "message": transition.message,
            }
            self.append(EventKind.TRANSITION, new, **detail)
        self.append(EventKind.CHANGED, new, phase=new.status.phase)

    def _record_parent(self, child: HopperInstance, old: str | None, new: str | None) -> None:
        """Record a change of parent. Both events are about the child, because a parent may not exist."""
        if old:
            self.append(EventKind.CHILD_REMOVED, child, parent=old)
        if new:
            self.append(EventKind.CHILD_ADDED, child, parent=new)


def _new_transitions(old: tuple[HistoryEntry, ...], new: tuple[HistoryEntry, ...]) -> Iterator[HistoryEntry]:
    """Yield the transitions in `new` after the last one in `old`. A full history has dropped its oldest entries."""
    overlap = next((n for n in range(min(len(old), len(new)), 0, -1) if old[-n:] == new[:n]), 0)
    yield from new[overlap:]
