"""Waits for a change of an instance in the index."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.registry import InstanceChange

# Whether the wait is over, given the newest version of the instance. None means that the instance is gone.
Predicate = Callable[[HopperInstance | None], bool]
# Returns when the client has disconnected.
UntilDisconnected = Callable[[], Coroutine[Any, Any, None]]


class InstanceWaiters:
    """Requests that wait for a change of an instance, by the instance's uid."""

    def __init__(self) -> None:
        self._waiters: dict[str, dict[asyncio.Future[bool], Predicate]] = {}
        self._is_closed = False

    def close(self) -> None:
        """End all waits, present and future, as if their time was over."""
        self._is_closed = True
        for future in [future for waiters in self._waiters.values() for future in waiters]:
            _resolve(future, False)

    def on_change(self, change: InstanceChange) -> None:
        """End the waits for this change."""
        uid = change.instance.metadata.uid
        if change.old and change.old.metadata.uid != uid:
            self._check(change.old.metadata.uid, None)
        self._check(uid, change.new)

    async def wait(
        self,
        instance: HopperInstance,
        predicate: Predicate,
        seconds: float,
        until_disconnected: UntilDisconnected | None = None,
    ) -> bool:
        """Return True as soon as `predicate` holds, False after `seconds` or when the client has disconnected.

        `instance` must be the newest version in the index.
        """
        if predicate(instance):
            return True
        if self._is_closed:
            return False
        uid = instance.metadata.uid
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(uid, {})[future] = predicate
        disconnect = asyncio.create_task(until_disconnected()) if until_disconnected else None
        if disconnect:
            disconnect.add_done_callback(lambda _: _resolve(future, False))
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return False
        finally:
            if disconnect:
                disconnect.cancel()
            del self._waiters[uid][future]
            if not self._waiters[uid]:
                del self._waiters[uid]

    def __len__(self) -> int:
        """Return the number of waits."""
        return sum(map(len, self._waiters.values()))

    def _check(self, uid: str, newest: HopperInstance | None) -> None:
        for future, predicate in self._waiters.get(uid, {}).items():
            if predicate(newest):
                _resolve(future, True)


def _resolve(future: asyncio.Future[bool], result: bool) -> None:
    if not future.done():
        future.set_result(result)
