"""Instances that run something: from a template to Running, and on to what the template says after a change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from hopper.api.names import EVENT_SOURCE
from tests.bench.client import Client, create, encode, patch
from tests.bench.measure import Sample, Stage
from tests.bench.metrics import Tally
from tests.bench.objects import HOPPER, HOPPER_TEMPLATES, PEER_TEMPLATES, PODS, Kind, Manifest, instance, template
from tests.bench.operators import PLAIN_PEER, THE_OPERATOR, Subject, running
from tests.bench.rates import Rates
from tests.bench.scenarios.lifecycle import remove
from tests.bench.watch import watching

EVENTS = Kind("", "events")
WORKLOADS = "workloads to Running"
ROLL_OUT = "template change"
WORKLOAD_PEER = replace(PLAIN_PEER, module="tests.bench.workload_peer")
SUBJECTS = (THE_OPERATOR, WORKLOAD_PEER)

_TEMPLATE = "web"
_SHARE = 0.3
# Twice as many pods as instances are there during a rollout, and a simulated node takes 110.
_PODS_PER_NODE = 100


def size(scale: int) -> int:
    """Return how many instances run something: fewer than logical ones, because others do most of the work."""
    return max(1, round(scale * _SHARE))


def nodes(scale: int) -> int:
    """Return how many simulated nodes that takes."""
    return -(-size(scale) * 2 // _PODS_PER_NODE)


async def measure(client: Client, subject: Subject, namespace: str, count: int, rates: Rates) -> list[Sample]:
    """Run `count` instances of a template, change its image, and remove them until no pod is left."""
    samples: list[Sample] = []
    templates = _templates(subject.kind)
    async with running(client, subject, namespace) as process:
        stage = Stage(client, rates, samples, subject.name, subject.kind, namespace, process)
        await client.send(create(templates, namespace, template(templates, _TEMPLATE, "web:1")))
        await (await Tally.begin(client, subject.kind)).settle()
        names = await _start(stage, count)
        await _change_image(stage, templates, count)
        await _remove(stage, names)
    return samples


async def _start(stage: Stage, count: int) -> list[str]:
    names = [f"i-{index:04}" for index in range(count)]
    manifests = [instance(stage.kind, name, template=_TEMPLATE) for name in names]
    calls = [create(stage.kind, stage.namespace, it) for it in manifests]
    async with (
        _own_events(stage),
        watching(stage.client, stage.kind, stage.namespace, "status.phase=Running") as there,
        stage.measured(WORKLOADS, count) as clock,
    ):
        await stage.client.send_all(calls, stage.rates.best_concurrency("create"))
        await there.until(lambda found: found == count)
        clock.stop()
    return names


async def _change_image(stage: Stage, templates: Kind, count: int) -> None:
    body = encode({"spec": {"image": "web:2"}})
    async with (
        _own_events(stage),
        watching(stage.client, stage.kind, stage.namespace, accept=_runs_generation_2) as there,
        stage.measured(ROLL_OUT, count) as clock,
    ):
        await stage.client.send(patch(templates, stage.namespace, _TEMPLATE, body))
        await there.until(lambda found: found == count)
        clock.stop()


@asynccontextmanager
async def _own_events(stage: Stage) -> AsyncIterator[None]:
    """Correct the events of the sample that the context adds: here the cluster's controllers report a lot, too."""
    before = await _count_events(stage)
    yield
    sample = stage.samples[-1]
    assert sample.requests is not None
    requests = replace(sample.requests, events=await _count_events(stage) - before)
    stage.samples[-1] = replace(sample, requests=requests)


async def _count_events(stage: Stage) -> int:
    """Count Hopper's; kopf posts none."""
    listed = await stage.client.list(EVENTS, stage.namespace, f"fieldSelector=reportingComponent={EVENT_SOURCE}")
    return len(json.loads(listed)["items"])


async def _remove(stage: Stage, names: list[str]) -> None:
    """Leave nothing that could disturb whoever is measured next."""
    async with watching(stage.client, PODS, stage.namespace) as pods:
        await remove(stage, names)
        await pods.until(lambda count: count == 0)


def _templates(kind: Kind) -> Kind:
    return HOPPER_TEMPLATES if kind == HOPPER else PEER_TEMPLATES


def _runs_generation_2(manifest: Manifest) -> bool:
    status = manifest.get("status", {})
    ready = any(it["type"] == "Ready" and it["status"] == "True" for it in status.get("conditions", ()))
    return ready and status["phase"] == "Running" and status.get("templateGeneration") == 2
