"""Hooks: code of yours that runs before and after every transition of an instance's lifecycle.

Write a class with these two coroutines and name it in the entry-point group `hopper.hooks`, or pass it to `Operator`:

    class ReserveLicence:
        async def before(self, transition, instance): ...
        async def after(self, transition, instance): ...

`before` may run more than once for one transition (after a crash, or when another hook refuses): make it idempotent. If
it raises, the transition does not happen: a start that is refused is an Error and the restart policy takes over,
anything else stays where it is and is tried again. `after` runs once the transition is written; it runs at most once,
and what it raises is logged.
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
    """What a hook looks like; see the module's text for what it may rely on."""

    async def before(self, transition: Transition, instance: HopperInstance) -> None:
        """Prepare the transition; raise to refuse it."""

    async def after(self, transition: Transition, instance: HopperInstance) -> None:
        """React to the transition, which has been written."""


class Hooks:
    """All hooks, run in the order of their registration, each within `aside()`: it may take up to `timeout` seconds."""

    def __init__(
        self,
        hooks: Sequence[Hook] = (),
        timeout: float = TIMEOUT_SECONDS,
        aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._hooks = tuple(hooks)
        self._timeout = timeout
        self._aside = aside

    @classmethod
    def installed(
        cls, extra: Sequence[Hook] = (), aside: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> "Hooks":
        """Return those of the entry points, by name, then the given ones."""
        found = sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name)
        return cls([*(entry.load()() for entry in found), *extra], aside=aside)

    async def before(self, transitions: Sequence[Transition], instance: HopperInstance) -> HookFailure | None:
        """Run `before` for each transition; return the first refusal. An Error is a fact that no hook can refuse."""
        if not self._hooks:
            return None
        for transition in transitions:
            for hook in self._hooks:
                try:
                    with self._aside():
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
                    with self._aside():
                        async with asyncio.timeout(self._timeout):
                            await hook.after(transition, instance)
                except Exception:
                    logger.exception("hook %s failed after %s", type(hook).__name__, transition.target)


def _describe(error: Exception) -> str:
    return "timed out" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
