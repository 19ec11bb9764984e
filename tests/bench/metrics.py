"""Reading the API server's own metrics: who sent how many requests."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass

from tests.bench.client import Client, RequestKey
from tests.bench.objects import Kind

_LINE = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_READS = ("GET", "LIST")
# Longer than any operator here holds a write back.
_QUIET_SECONDS = 1.5
_FIRST_ERROR = 400


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of an operator: `writes` and `reads` of the kind, Kubernetes `events`; `failed` are among the writes."""

    writes: int
    reads: int
    events: int
    failed: int

    @property
    def total(self) -> int:
        return self.writes + self.reads + self.events


class Tally:
    """Counts what everybody but the bench itself requests about a kind, from `begin` on."""

    def __init__(self, client: Client, kind: Kind, begun: Counter[RequestKey]) -> None:
        self._client = client
        self._kind = kind
        self._begun = begun
        self._sent = client.sent.copy()

    @classmethod
    async def begin(cls, client: Client, kind: Kind) -> Tally:
        return cls(client, kind, await _answered(client))

    async def settle(self) -> Requests:
        """Return the requests so far, once there have been no new ones for a while."""
        before = await self.so_far()
        while True:
            await asyncio.sleep(_QUIET_SECONDS)
            after = await self.so_far()
            if after == before:
                return after
            before = after

    async def so_far(self) -> Requests:
        """Return the requests so far. The opening of watches is left out."""
        counts = await _answered(self._client)
        counts.subtract(self._begun)
        counts.subtract(self._client.sent - self._sent)
        return _summary(counts, self._kind)


async def _answered(client: Client) -> Counter[RequestKey]:
    """Return all requests that the API server has answered since its start."""
    counts: Counter[RequestKey] = Counter()
    for labels, value in _LINE.findall(await client.get("/metrics")):
        found = dict(_LABEL.findall(labels))
        key = RequestKey(found["verb"], found["group"], found["resource"], found["subresource"], int(found["code"]))
        counts[key] += int(float(value))
    return counts


def _summary(counts: Counter[RequestKey], kind: Kind) -> Requests:
    writes = reads = events = failed = 0
    for key, count in counts.items():
        if key.verb == "WATCH":
            continue
        if key.resource == "events" and key.verb not in _READS:
            events += count
        elif (key.group, key.resource) == (kind.group, kind.plural):
            if key.verb in _READS:
                reads += count
            else:
                writes += count
                failed += count * (key.code >= _FIRST_ERROR)
    return Requests(writes, reads, events, failed)
