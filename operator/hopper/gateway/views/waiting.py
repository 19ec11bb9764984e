"""Waits until the watch tells that something has happened to an instance."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.registry import InstanceChange

# Looks at the newest version, None when the instance is gone; tells whether the wait is over.
Holds = Callable[[HopperInstance | None], bool]
# Returns when whoever waits has gone away.
UntilGone = Callable[[], Coroutine[Any, Any, None]]


class Waiting:
    """Who waits for which instance, by uid."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[asyncio.Future[bool], Holds]] = {}
        self._is_over = False

    def end(self) -> None:
        """Let nobody wait any more: who does gets the answer that the time is over."""
        self._is_over = True
        for future in [future for waiting in self._waiting.values() for future in waiting]:
            _resolve(future, False)

    def on_change(self, change: InstanceChange) -> None:
        """Wake whoever has waited for this."""
        uid = change.subject.metadata.uid
        if change.old and change.old.metadata.uid != uid:
            self._look(change.old.metadata.uid, None)
        self._look(uid, change.new)

    async def until(
        self, instance: HopperInstance, holds: Holds, seconds: float, until_gone: UntilGone | None = None
    ) -> bool:
        """Return True as soon as `holds` does, False when the time is over, or whoever waits has gone away.

        `instance` is its newest version.
        """
        if holds(instance):
            return True
        if self._is_over:
            return False
        uid = instance.metadata.uid
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(uid, {})[future] = holds
        goes = asyncio.create_task(until_gone()) if until_gone else None
        if goes:
            goes.add_done_callback(lambda _: _resolve(future, False))
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return False
        finally:
            if goes:
                goes.cancel()
            del self._waiting[uid][future]
            if not self._waiting[uid]:
                del self._waiting[uid]

    def __len__(self) -> int:
        """Count those that wait."""
        return sum(map(len, self._waiting.values()))

    def _look(self, uid: str, newest: HopperInstance | None) -> None:
        for future, holds in self._waiting.get(uid, {}).items():
            if holds(newest):
                _resolve(future, True)


def _resolve(future: asyncio.Future[bool], result: bool) -> None:
    if not future.done():
        future.set_result(result)
