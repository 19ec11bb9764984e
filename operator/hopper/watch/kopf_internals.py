"""The private parts of kopf that Hopper relies on.

kopf may change them in any release. `tests/unit/watch/test_kopf_internals.py` fails if that happens.
"""

import asyncio
import logging
import os
import traceback
from typing import Any

import kopf
from aiohttp import ClientRequest
from yarl import URL

_DIRECTORY = os.path.dirname(kopf.__file__)  # noqa: PTH120

# kopf logs each failed request, and a traceback for each task that fails. `WatchHealth` logs these failures once.
REPEATING_LOGGERS = (
    "kopf._cogs.clients.watching",
    "kopf._core.reactor.orchestration",
    "kopf._core.reactor.running",
)


def silence_loggers() -> None:
    """Keep kopf from logging failures that Hopper logs itself, unless debug messages are logged."""
    if not logging.getLogger("kopf").isEnabledFor(logging.DEBUG):
        for name in REPEATING_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)


class _EveryTask(frozenset[Any]):
    def __contains__(self, task: object) -> bool:
        return True


# Passed as `ignored` to `kopf.run_tasks`. Otherwise kopf treats every task created after its start as its own: it waits
# for the task for 5 s, and then cancels it. kopf only ever asks whether a task is in the set.
EVERY_TASK = _EveryTask()


def is_kopf_task(task: "asyncio.Task[Any]") -> bool:
    """Whether kopf has created the task: the code of its coroutine is in kopf's directory."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(_DIRECTORY)


def is_raised_by_kopf(error: BaseException) -> bool:
    """Whether the innermost frame of the traceback is in kopf's directory."""
    innermost = traceback.extract_tb(error.__traceback__)[-1:]
    return any(frame.filename.startswith(_DIRECTORY) for frame in innermost)


def needs_list(request: ClientRequest) -> bool:
    """Whether a watch request starts from nothing instead of from a resourceVersion.

    With `initial_streaming`, kopf sends such a request instead of a list: at the start, and after an expired version.
    """
    return "resourceVersion" not in request.url.query


def start_from(url: URL, version: str) -> URL:
    """Return the URL of a watch that starts from a resourceVersion, and does not ask for the objects before that."""
    initial = ("sendInitialEvents", "resourceVersionMatch")
    return url.without_query_params(*initial).update_query(resourceVersion=version)
