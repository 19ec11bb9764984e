"""Hooks: user code that runs before and after every transition of an instance.

Write a class with two coroutines and name it in the entry-point group `hopper.hooks`, or pass it to `Operator`:

    class ReserveLicence:
        async def before(self, transition, instance): ...
        async def after(self, transition, instance): ...

`before` may run more than once for one transition, after a crash or when another hook refuses. Make it idempotent. If
it raises, the transition does not happen. A refused start puts the instance into Error, and the restart policy applies.
Any other refused transition leaves the instance in its phase and is tried again.

`after` runs once the transition is written. It runs at most once, and its exceptions are logged.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import entry_points
from typing import Protocol

from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance
from hopper.domain.observed import HookFailure
from hopper.domain.plan import Transition

ENTRY_POINTS = "hopper.hooks"
TIMEOUT_SECONDS = 30.0

logger = logging.getLogger(__name__)


class Hook(Protocol):
    """User code around transitions; the module documentation describes when it runs."""

    async def before(self, transition: Transition, instance: HopperInstance) -> None:
        """Prepare the transition; raise to refuse it."""

    async def after(self, transition: Transition, instance: HopperInstance) -> None:
        """React to a transition that has been written."""


class Hooks:
    """All registered hooks, in the order in which they run.

    Each call may take up to `timeout` seconds. It runs inside `without_slot()`, so that it blocks no other reconcile.
    """

    def __init__(
        self,
        hooks: Sequence[Hook] = (),
        timeout: float = TIMEOUT_SECONDS,
        without_slot: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._hooks = tuple(hooks)
        self._timeout = timeout
        self._without_slot = without_slot

    @classmethod
    def installed(
        cls, extra: Sequence[Hook] = (), without_slot: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> "Hooks":
        """Return the hooks of the entry points, sorted by name, followed by `extra`."""
        entries = sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name)
        return cls([*(entry.load()() for entry in entries), *extra], without_slot=without_slot)

    async def before(self, transitions: Sequence[Transition], instance: HopperInstance) -> HookFailure | None:
        """Run `before` for each transition and return the first refusal. A transition to Error cannot be refused."""
        for transition in transitions:
            for hook in self._hooks:
                try:
                    with self._without_slot():
                        async with asyncio.timeout(self._timeout):
                            await hook.before(transition, instance)
                except Exception as error:
                    if transition.target is Phase.ERROR:
                        logger.exception("hook %s failed before Error", type(hook).__name__)
                        continue
                    message = f"hook {type(hook).__name__} refused {transition.target}: {_describe(error)}"
                    return HookFailure(transition.source, transition.target, message)
        return None

    async def after(self, transitions: Sequence[Transition], instance: HopperInstance) -> None:
        """Run `after` for each transition."""
        for transition in transitions:
            for hook in self._hooks:
                try:
                    with self._without_slot():
                        async with asyncio.timeout(self._timeout):
                            await hook.after(transition, instance)
                except Exception:
                    logger.exception("hook %s failed after %s", type(hook).__name__, transition.target)


def _describe(error: Exception) -> str:
    return "timed out" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
