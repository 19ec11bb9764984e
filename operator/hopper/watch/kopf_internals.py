"""The private parts of kopf that Hopper relies on.

kopf may change them in any release. `tests/unit/watch/test_kopf_internals.py` fails if that happens.
"""

import asyncio
import logging
import os
import traceback
from collections.abc import AsyncIterator
from typing import Any

import kopf
from aiohttp import ClientRequest, ClientResponse, StreamReader
from yarl import URL

from hopper.api.bounded_json import reduce_json

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


def read_decodable_lines(response: ClientResponse) -> None:
    """Keep the lines of a watch response within the limits of `bounded_json`, because kopf decodes them itself.

    kopf reads the content of the response through `iter_chunked` only.
    """
    response.content = _DecodableLines(response.content)  # type: ignore[assignment]


class _DecodableLines:
    """Stream of JSON lines that reduces each line which kopf could not decode. All else is left to `content`."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield whole lines. A line without an end is dropped, because the next watch sends that event again."""
        parts: list[bytes] = []  # of a line whose end has not arrived yet
        async for data in self._content.iter_chunked(size):
            head, newline, rest = data.rpartition(b"\n")
            if not newline:
                parts.append(data)
                continue
            lines = b"".join((*parts, head)).split(b"\n")
            parts = [rest]
            yield b"".join(_decodable(line) + b"\n" for line in lines)


def _decodable(line: bytes) -> bytes:
    """Return a line within the limits. A line that is no JSON is left to kopf, which reports it."""
    try:
        return reduce_json(line)
    except ValueError:
        return line


def start_from(url: URL, version: str) -> URL:
    """Return the URL of a watch that starts from a resourceVersion, and does not ask for the objects before that."""
    initial = ("sendInitialEvents", "resourceVersionMatch")
    return url.without_query_params(*initial).update_query(resourceVersion=version)
