"""The journal: what has happened to instances and their relationships, in order, for those who want to follow."""

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
    """What can happen."""

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
    """One event, about the instance of that name. `detail` depends on the kind (docs/instance-registry.md)."""

    revision: int
    time: datetime
    kind: EventKind
    namespace: str
    name: str
    uid: str
    detail: Mapping[str, str | None] = field(default_factory=dict)


class Journal:
    """The last events, each with a revision that is one higher than the one before.

    Revisions hold within one process: `token` and `revision_of` put them into words that another process, or the next,
    recognises as not its own.
    """

    def __init__(self, capacity: int = CAPACITY, clock: Callable[[], datetime] = wall_clock, epoch: str = "") -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=capacity)
        self._clock = clock
        self._epoch = epoch or uuid.uuid4().hex[:8]
        self._waiting: set[asyncio.Future[None]] = set()
        self._is_open = False
        self.revision = 0

    def open(self) -> None:
        """Begin to write: what was there before is told by a snapshot, not as news."""
        self._is_open = True

    def token(self, revision: int) -> str:
        """Return the id of an event for those outside."""
        return f"{self._epoch}-{revision}"

    def revision_of(self, token: str) -> int | None:
        """Return the revision that a token of this process means; None for any other text."""
        epoch, _, number = token.partition("-")
        known = epoch == self._epoch and number.isascii() and number.isdigit() and len(number) < 20
        return int(number) if known and int(number) <= self.revision else None

    def since(self, revision: int) -> list[JournalEntry] | None:
        """Return what came after a revision; None where not all of that is kept any more."""
        missing = self.revision - revision
        if missing > len(self._entries) or missing < 0:
            return None
        return list(islice(self._entries, len(self._entries) - missing, None))

    async def wait(self, revision: int) -> None:
        """Return as soon as there is something after this revision."""
        while self.revision <= revision:
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)

    def write(self, kind: EventKind, instance: HopperInstance, **detail: str | None) -> None:
        """Write down one event."""
        if not self._is_open:
            return
        self.revision += 1
        self._entries.append(
            JournalEntry(
                self.revision, self._clock(), kind, instance.namespace, instance.name, instance.metadata.uid, detail
            )
        )
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def note(self, change: InstanceChange) -> None:
        """Write down everything that one change of the index means."""
        old, new = change.old, change.new
        if old and new and old.metadata.uid != new.metadata.uid:
            self.note(InstanceChange(old, None))
            self.note(InstanceChange(None, new))
        elif new is None:
            self._note_parent(change.subject, change.subject.parent_name, None)
            self.write(EventKind.UNREGISTERED, change.subject)
        elif old is None:
            self.write(EventKind.REGISTERED, new, scope=new.spec.scope, phase=new.status.phase, parent=new.parent_name)
            self._note_parent(new, None, new.parent_name)
        else:
            self._note_version(old, new)

    def _note_version(self, old: HopperInstance, new: HopperInstance) -> None:
        if old.parent_name != new.parent_name:
            self._note_parent(new, old.parent_name, new.parent_name)
            self.write(EventKind.PARENT_CHANGED, new, **{"from": old.parent_name, "to": new.parent_name})
        for step in _new_steps(old.status.history, new.status.history):
            told = {"from": step.from_, "to": step.to, "reason": step.reason, "message": step.message}
            self.write(EventKind.TRANSITION, new, **told)
        self.write(EventKind.CHANGED, new, phase=new.status.phase)

    def _note_parent(self, child: HopperInstance, old: str | None, new: str | None) -> None:
        """These two are about the parent, which need not exist: it is named, and the child is told of."""
        if old:
            self.write(EventKind.CHILD_REMOVED, child, parent=old)
        if new:
            self.write(EventKind.CHILD_ADDED, child, parent=new)


def _new_steps(old: tuple[HistoryEntry, ...], new: tuple[HistoryEntry, ...]) -> Iterator[HistoryEntry]:
    """Yield the steps that came after those known; of a long history, the oldest are dropped meanwhile."""
    known = next((n for n in range(min(len(old), len(new)), 0, -1) if old[-n:] == new[:n]), 0)
    yield from new[known:]
