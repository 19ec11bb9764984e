"""Reading the API server's own metrics: who sent how many requests."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass

from hopper.api.names import TEMPLATE_PLURAL
from hopper.api.resources import OWNED_RESOURCES
from tests.bench.client import Client, RequestKey
from tests.bench.objects import Kind

_LINE = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_READS = ("GET", "LIST")
_CHILDREN = {(it.group, it.plural) for it in OWNED_RESOURCES.values()}
# The cluster's own controllers PUT what they have to say about these, so no operator here does.
_WRITES_OF_OTHERS = ("PUT",)
# Longer than any operator here holds a write back.
_QUIET_SECONDS = 1.5
_FIRST_ERROR = 400


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of an operator.

    `writes` and `reads` are of the kind, `objects` the writes of what instances own, and their reads are among
    `reads`; `templates` are all requests about templates, `events` Kubernetes Events. `failed` are among the writes.
    """

    writes: int
    reads: int
    events: int
    failed: int
    objects: int = 0
    templates: int = 0

    @property
    def total(self) -> int:
        return self.writes + self.reads + self.events + self.objects + self.templates


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
    writes = reads = events = failed = objects = templates = 0
    for key, count in counts.items():
        if key.verb == "WATCH":
            continue
        if key.resource == "events" and key.verb not in _READS:
            events += count
        elif (key.group, key.resource) == (kind.group, TEMPLATE_PLURAL):
            templates += count
        elif (key.group, key.resource) in {*_CHILDREN, (kind.group, kind.plural)}:
            own = key.group == kind.group
            if key.verb in _READS:
                reads += count if own or key.verb == "GET" else 0  # controllers LIST before they watch
                continue
            if own:
                writes += count
            elif key.verb not in _WRITES_OF_OTHERS:
                objects += count
            else:
                continue
            failed += count * (key.code >= _FIRST_ERROR)
    return Requests(writes, reads, events, failed, objects, templates)
