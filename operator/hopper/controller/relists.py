"""Notices when kopf lists a kind anew, because its watch could not be resumed.

What was deleted in between is in no list and no watch event, and kopf does not tell, least of all when nothing is
left to list. Its HTTP requests do.
"""

from collections.abc import Callable, Collection
from types import SimpleNamespace

import aiohttp


class Relists:
    """Calls `begins` before each list after the first of a path, and `ended` when its answer has come."""

    def __init__(self, paths: Collection[str], begins: Callable[[], None], ended: Callable[[], None]) -> None:
        self._paths = paths
        self._begins = begins
        self._ended = ended
        self._listed: set[str] = set()

    def trace(self) -> aiohttp.TraceConfig:
        """Return what has to be given to the HTTP session."""
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._on_start)
        config.on_request_end.append(self._on_end)
        return config

    async def _on_start(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, request: aiohttp.TraceRequestStartParams
    ) -> None:
        context.relists = request.url.path in self._listed and self._is_list(request)
        if context.relists:
            self._begins()

    async def _on_end(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, request: aiohttp.TraceRequestEndParams
    ) -> None:
        if request.response.status == 200 and self._is_list(request):
            self._listed.add(request.url.path)
            if context.relists:
                self._ended()

    def _is_list(self, request: aiohttp.TraceRequestStartParams | aiohttp.TraceRequestEndParams) -> bool:
        """Tell whether a request is the first page of a list; the pages that follow are of the same moment."""
        return request.url.path in self._paths and not {"watch", "continue"} & request.url.query.keys()
