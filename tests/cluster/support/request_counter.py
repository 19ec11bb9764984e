"""How many requests of the kinds that the operator sends have arrived, by the API server's own count."""

from __future__ import annotations

import asyncio
from collections import Counter

from hopper.api.resources import INSTANCES, OWNED_RESOURCES, TEMPLATES
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.prometheus import PrometheusSamples

_PLURALS = {it.plural for it in (*OWNED_RESOURCES.values(), INSTANCES, TEMPLATES)}
STATUS = ("PATCH", "hopperinstances/status")
METADATA = ("PATCH", "hopperinstances")
TEMPLATE_STATUS = ("PATCH", "hoppertemplates/status")
_SETTLE_SECONDS = 10
_COUNTED_SECONDS = 0.2


class RequestCounter:
    """What has been applied and patched since the start of the count, by whomever; what was refused does not count.

    Only the operator applies. Patches of the test's own count as well. Deletions are left out: garbage collection sends
    them too.
    """

    def __init__(self, live: LiveInstances, before: Counter[tuple[str, str]]) -> None:
        self._live = live
        self._before = before

    @classmethod
    async def begin(cls, live: LiveInstances) -> RequestCounter:
        """Start when what was sent before is counted: the watch may tell of a write before the API server counts it."""
        before = await _read(live)
        while (now := await _read_later(live)) != before:
            before = now
        return cls(live, before)

    async def since(self) -> Counter[tuple[str, str]]:
        """Return the numbers by verb and resource."""
        return (await _read(self._live)) - self._before

    async def settle(self, *applied: str, status: int, metadata: int = 0, template_status: int = 0) -> None:
        """Expect that these plurals were applied, and that instances and templates were written at most so often.

        A request is counted when it has been answered, so this waits a little for what is missing.
        """
        wanted = Counter(applied)
        found: Counter[tuple[str, str]] = Counter()
        for _ in range(_SETTLE_SECONDS * 10):
            found = await self.since()
            if Counter({resource: count for (verb, resource), count in found.items() if verb == "APPLY"}) == wanted:
                break
            await asyncio.sleep(0.1)
        applies = Counter({resource: count for (verb, resource), count in found.items() if verb == "APPLY"})
        assert applies == wanted, f"applied: {dict(applies)} instead of {dict(wanted)}"
        most = {STATUS: status, METADATA: metadata, TEMPLATE_STATUS: template_status}
        patches = {key: count for key, count in found.items() if key[0] == "PATCH"}
        assert patches.keys() <= most.keys(), f"patched: {patches}"
        for key, count in patches.items():
            assert count <= most[key], f"{key}: {count} instead of {most[key]} at most\n{self._live.story()}"


async def _read_later(live: LiveInstances) -> Counter[tuple[str, str]]:
    await asyncio.sleep(_COUNTED_SECONDS)
    return await _read(live)


async def _read(live: LiveInstances) -> Counter[tuple[str, str]]:
    numbers = PrometheusSamples(await live.request("GET", "/metrics"), "apiserver_request_total")
    counts = numbers.by("apiserver_request_total", "verb", "resource", "subresource", "code")
    found: Counter[tuple[str, str]] = Counter()
    for (verb, resource, subresource, code), count in counts.items():
        if resource in _PLURALS and verb in ("APPLY", "PATCH") and code < "300":
            found[verb, f"{resource}/{subresource}" if subresource else resource] += count
    return found
