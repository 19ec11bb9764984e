"""Counters of the write requests that the API server has received, read from its own metrics."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from hopper.api.resources import INSTANCES, OWNED_RESOURCES, TEMPLATES
from hopper.controller.fanout import SUMMARY_DELAY
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.prometheus import PrometheusSamples

_METRIC = "apiserver_request_total"
_PLURALS = {resource.plural for resource in (*OWNED_RESOURCES.values(), INSTANCES, TEMPLATES)}
STATUS = ("PATCH", "hopperinstances/status")
METADATA = ("PATCH", "hopperinstances")
TEMPLATE_STATUS = ("PATCH", "hoppertemplates/status")
_SETTLE_SECONDS = 10
_COUNTED_SECONDS = 0.2


class RequestCounter:
    """Number of successful applies and patches since the start of the count, whichever client sent them.

    Only the operator applies. Patches that the test sends are counted as well. Deletions are left out, because the
    garbage collector sends them too.
    """

    def __init__(self, live: LiveInstances, before: Counter[tuple[str, str]]) -> None:
        self._live = live
        self._before = before

    @classmethod
    async def start(cls, live: LiveInstances) -> RequestCounter:
        """Start a count when all earlier requests have been counted."""
        return cls(live, await _stable(lambda: cls._read(live)))

    async def counts(self) -> Counter[tuple[str, str]]:
        """Return the numbers of requests by verb and resource."""
        return (await self._read(self._live)) - self._before

    async def expect(self, *applied: str, status: int, metadata: int = 0, template_status: int = 0) -> None:
        """Check that exactly these plurals were applied, and that there were at most these numbers of patches.

        The API server counts a request after the response, so this waits for missing applies for some seconds.
        """
        expected = Counter(applied)
        counts: Counter[tuple[str, str]] = Counter()
        for _ in range(_SETTLE_SECONDS * 10):
            counts = await self.counts()
            if _applies(counts) == expected:
                break
            await asyncio.sleep(0.1)
        applies = _applies(counts)
        assert applies == expected, f"applied: {dict(applies)} instead of {dict(expected)}"
        limits = {STATUS: status, METADATA: metadata, TEMPLATE_STATUS: template_status}
        patches = {key: count for key, count in counts.items() if key[0] == "PATCH"}
        assert patches.keys() <= limits.keys(), f"patched: {patches}"
        for key, count in patches.items():
            assert count <= limits[key], f"{key}: {count} instead of {limits[key]} at most\n{self._live.describe_log()}"

    @staticmethod
    async def _read(live: LiveInstances) -> Counter[tuple[str, str]]:
        samples = PrometheusSamples(await live.request("GET", "/metrics"), _METRIC)
        counts: Counter[tuple[str, str]] = Counter()
        by_code = samples.totals_by(_METRIC, "verb", "resource", "subresource", "code")
        for (verb, resource, subresource, code), count in by_code.items():
            if resource in _PLURALS and verb in ("APPLY", "PATCH") and code < "300":
                counts[verb, f"{resource}/{subresource}" if subresource else resource] += count
        return counts


class WriteCounter:
    """Number of patches of HopperInstances since the start of the count, whichever client sent them."""

    def __init__(self, live: LiveInstances, before: Counter[tuple[str, ...]]) -> None:
        self._live = live
        self._before = before
        self._started = time.monotonic()

    @classmethod
    async def start(cls, live: LiveInstances) -> WriteCounter:
        """Start a count when all earlier requests have been counted."""
        return cls(live, await _stable(lambda: cls._read(live)))

    @staticmethod
    async def _read(live: LiveInstances) -> Counter[tuple[str, ...]]:
        samples = PrometheusSamples(await live.request("GET", "/metrics"), _METRIC)
        return samples.totals_by(
            _METRIC, "verb", "subresource", "code", group=INSTANCES.group, resource=INSTANCES.plural
        )

    async def patches(self, subresource: str, code: str | None = None) -> int:
        """Return the number of patches of the object itself (empty `subresource`) or of its status."""
        codes = await self.codes(subresource)
        return codes.total() if code is None else codes[code]

    async def codes(self, subresource: str) -> Counter[str]:
        """Return the number of patches by HTTP status."""
        counts = await self._read(self._live)
        counts.subtract(self._before)
        return Counter(
            {code: n for (verb, sub, code), n in counts.items() if (verb, sub) == ("PATCH", subresource) and n}
        )

    async def expect(self, subresource: str, number: int) -> None:
        """Check that there were exactly this number of patches, all successful.

        The API server counts a request after the response, so this waits for missing patches for some seconds.
        """
        codes = await self.codes(subresource)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                while codes.total() < number:
                    codes = await self.codes(subresource)
        expected = {"200": number} if number else {}
        assert codes == expected, f"patches of {subresource or 'objects'}: {codes} instead of {number}"

    @property
    def seconds(self) -> float:
        """Seconds since the start of the count."""
        return time.monotonic() - self._started

    @property
    def max_summary_writes(self) -> int:
        """Highest number of child summaries that a parent may have written by now, at one per `SUMMARY_DELAY`."""
        return 1 + math.ceil(self.seconds / SUMMARY_DELAY)


def _applies(counts: Counter[tuple[str, str]]) -> Counter[str]:
    return Counter({resource: count for (verb, resource), count in counts.items() if verb == "APPLY"})


async def _stable(read: Callable[[], Awaitable[Counter[Any]]]) -> Counter[Any]:
    """Read until two reads agree, because a watch may deliver a write before the API server has counted it."""
    before = await read()
    while True:
        await asyncio.sleep(_COUNTED_SECONDS)
        if (now := await read()) == before:
            return before
        before = now
