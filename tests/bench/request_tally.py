"""Counts of an operator's requests, read from the API server's own metrics."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass

from hopper.api.names import TEMPLATE_PLURAL
from hopper.api.resources import OWNED_RESOURCES
from tests.bench.client import Client, RequestKey
from tests.bench.manifests import Kind

_LINE = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_READ_VERBS = ("GET", "LIST")
_OWNED = {(resource.group, resource.plural) for resource in OWNED_RESOURCES.values()}
# The cluster's controllers write owned objects by PUT. No operator here does.
_CONTROLLER_VERBS = ("PUT",)
# Longer than any operator here delays a write.
_QUIET_SECONDS = 1.5
_FIRST_ERROR = 400


@dataclass(frozen=True, slots=True)
class Requests:
    """Number of requests of an operator.

    `writes` counts writes of instances and `objects` writes of owned objects. `reads` counts reads of both.
    `templates` counts all requests for templates, and `events` writes of Kubernetes Events. `failed` counts those
    writes of instances and owned objects that were rejected.
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


class RequestTally:
    """Requests for a kind and its owned objects since `begin`, without those of the bench itself."""

    def __init__(self, client: Client, kind: Kind, answered_before: Counter[RequestKey]) -> None:
        self._client = client
        self._kind = kind
        self._answered_before = answered_before
        self._sent_before = client.sent.copy()

    @classmethod
    async def begin(cls, client: Client, kind: Kind) -> RequestTally:
        return cls(client, kind, await _answered(client))

    async def settle(self) -> Requests:
        """Wait until no request has come for a while; return the requests so far."""
        before = await self.so_far()
        while True:
            await asyncio.sleep(_QUIET_SECONDS)
            after = await self.so_far()
            if after == before:
                return after
            before = after

    async def so_far(self) -> Requests:
        """Return the requests so far, without watch requests."""
        counts = await _answered(self._client)
        counts.subtract(self._answered_before)
        counts.subtract(self._client.sent - self._sent_before)
        return _requests(counts, self._kind)


async def _answered(client: Client) -> Counter[RequestKey]:
    """Return all requests that the API server has answered since its start."""
    counts: Counter[RequestKey] = Counter()
    for line, value in _LINE.findall(await client.get("/metrics")):
        labels = dict(_LABEL.findall(line))
        code = int(labels["code"])
        key = RequestKey(labels["verb"], labels["group"], labels["resource"], labels["subresource"], code)
        counts[key] += int(float(value))
    return counts


def _requests(counts: Counter[RequestKey], kind: Kind) -> Requests:
    writes = reads = events = failed = objects = templates = 0
    for key, count in counts.items():
        if key.verb == "WATCH":
            continue
        if key.resource == "events" and key.verb not in _READ_VERBS:
            events += count
        elif (key.group, key.resource) == (kind.group, TEMPLATE_PLURAL):
            templates += count
        elif (key.group, key.resource) in {*_OWNED, (kind.group, kind.plural)}:
            is_instance = key.group == kind.group
            if key.verb in _READ_VERBS:
                # The cluster's controllers list owned objects before they watch them.
                reads += count if is_instance or key.verb == "GET" else 0
                continue
            if is_instance:
                writes += count
            elif key.verb not in _CONTROLLER_VERBS:
                objects += count
            else:
                continue
            failed += count * (key.code >= _FIRST_ERROR)
    return Requests(writes, reads, events, failed, objects, templates)
