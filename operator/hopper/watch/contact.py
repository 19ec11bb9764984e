"""Whether the API server answers those who list and watch. kopf tells of every try of every watch; this tells once."""

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Contact:
    """Knows which paths have failed since when, and logs the first failure of a kind, and the end of all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._now = clock
        self._lost: dict[str, str] = {}  # path → why
        self._told: set[str] = set()
        self._since = 0.0

    def lost(self, path: str, why: str) -> None:
        """A request for the path has failed."""
        if not self._lost:
            self._since = self._now()
        self._lost[path] = why
        if why not in self._told:
            self._told.add(why)
            logger.warning("no news from the API server: %s (GET %s); trying again", why, path)

    def found(self, path: str) -> None:
        """A request for the path is answered."""
        if self._lost.pop(path, None) is not None and not self._lost:
            self._told.clear()
            logger.info("news from the API server again, after %.0f s", self._now() - self._since)

    @property
    def paths(self) -> tuple[str, ...]:
        """What is not answered now."""
        return tuple(self._lost)

    def problems(self) -> list[str]:
        """Say what is wrong; empty when all paths are answered."""
        if not self._lost:
            return []
        path, why = next(iter(self._lost.items()))
        return [f"no news from the API server for {self._now() - self._since:.0f} s: {why} (GET {path})"]
