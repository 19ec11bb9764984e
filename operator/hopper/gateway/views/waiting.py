"""Waits until the watch tells that something has happened to an instance."""

import asyncio
from collections.abc import Callable

from hopper.api.instance import HopperInstance
from hopper.registry import Change

# Looks at the newest version, None when the instance is gone; tells whether the wait is over.
Holds = Callable[[HopperInstance | None], bool]


class Waiting:
    """Who waits for which instance, by uid."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[asyncio.Future[None], Holds]] = {}

    def on_change(self, change: Change) -> None:
        """Wake whoever has waited for this."""
        uid = change.subject.metadata.uid
        if change.old and change.old.metadata.uid != uid:
            self._look(change.old.metadata.uid, None)
        self._look(uid, change.new)

    async def until(self, instance: HopperInstance, holds: Holds, seconds: float) -> bool:
        """Return True as soon as `holds` does, False when the time is over. `instance` is its newest version."""
        if holds(instance):
            return True
        uid, future = instance.metadata.uid, asyncio.get_running_loop().create_future()
        self._waiting.setdefault(uid, {})[future] = holds
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return False
        else:
            return True
        finally:
            del self._waiting[uid][future]
            if not self._waiting[uid]:
                del self._waiting[uid]

    def __len__(self) -> int:
        """Count those that wait."""
        return sum(map(len, self._waiting.values()))

    def _look(self, uid: str, newest: HopperInstance | None) -> None:
        for future, holds in self._waiting.get(uid, {}).items():
            if not future.done() and holds(newest):
                future.set_result(None)
