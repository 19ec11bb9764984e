"""Instances with workloads: from creation to Running, and the rollout of a changed template."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from hopper.api.names import EVENT_SOURCE
from hopper.api.resources import Manifest
from tests.bench.client import Client, create, encode, patch
from tests.bench.manifests import HOPPER, HOPPER_TEMPLATES, PEER_TEMPLATES, PODS, Kind, instance, template
from tests.bench.matching_names import watching
from tests.bench.measure import Sample, SubjectRun
from tests.bench.operators import PLAIN_PEER, THE_OPERATOR, Subject, running
from tests.bench.raw_rates import RawRates
from tests.bench.request_tally import RequestTally
from tests.bench.scenarios.lifecycle import remove

EVENTS = Kind("", "events")
WORKLOADS = "workloads to Running"
ROLL_OUT = "template change"
WORKLOAD_PEER = replace(PLAIN_PEER, module="tests.bench.peers.workloads")
SUBJECTS = (THE_OPERATOR, WORKLOAD_PEER)

_TEMPLATE = "web"
_SHARE = 0.3
# A rollout has up to two pods per instance, and a simulated node takes 110.
_PODS_PER_NODE = 100


def instance_count(scale: int) -> int:
    """Return the number of instances: fewer than without workloads, because the cluster does most of the work."""
    return max(1, round(scale * _SHARE))


def node_count(scale: int) -> int:
    """Return the number of simulated nodes that the pods need."""
    return -(-instance_count(scale) * 2 // _PODS_PER_NODE)


async def measure(client: Client, subject: Subject, namespace: str, count: int, rates: RawRates) -> list[Sample]:
    """Run `count` instances of a template, change its image, and delete them with their pods."""
    samples: list[Sample] = []
    templates = _templates(subject.kind)
    async with running(client, subject, namespace) as process:
        run = SubjectRun(client, rates, samples, subject.name, subject.kind, namespace, process)
        await client.send(create(templates, namespace, template(templates, _TEMPLATE, "web:1")))
        await (await RequestTally.begin(client, subject.kind)).settle()
        names = await _start(run, count)
        await _change_image(run, templates, count)
        await _remove_with_pods(run, names)
    return samples


async def _start(run: SubjectRun, count: int) -> list[str]:
    names = [f"i-{index:04}" for index in range(count)]
    manifests = [instance(run.kind, name, template=_TEMPLATE) for name in names]
    calls = [create(run.kind, run.namespace, manifest) for manifest in manifests]
    async with (
        _counting_only_hopper_events(run),
        watching(run.client, run.kind, run.namespace, "status.phase=Running") as running_names,
        run.measured(WORKLOADS, count) as clock,
    ):
        await run.client.send_all(calls, run.rates.best_concurrency("create"))
        await running_names.until_count(count)
        clock.stop()
    return names


async def _change_image(run: SubjectRun, templates: Kind, count: int) -> None:
    body = encode({"spec": {"image": "web:2"}})
    async with (
        _counting_only_hopper_events(run),
        watching(run.client, run.kind, run.namespace, accept=_runs_generation_2) as rolled_out,
        run.measured(ROLL_OUT, count) as clock,
    ):
        await run.client.send(patch(templates, run.namespace, _TEMPLATE, body))
        await rolled_out.until_count(count)
        clock.stop()


@asynccontextmanager
async def _counting_only_hopper_events(run: SubjectRun) -> AsyncIterator[None]:
    """Replace the count of Events in the last sample, because the cluster's controllers send many here, too."""
    before = await _count_events(run)
    yield
    sample = run.samples[-1]
    assert sample.requests is not None
    requests = replace(sample.requests, events=await _count_events(run) - before)
    run.samples[-1] = replace(sample, requests=requests)


async def _count_events(run: SubjectRun) -> int:
    """Return the number of Hopper's Events. The peer sends none."""
    listed = await run.client.list(EVENTS, run.namespace, f"fieldSelector=reportingComponent={EVENT_SOURCE}")
    return len(json.loads(listed)["items"])


async def _remove_with_pods(run: SubjectRun, names: list[str]) -> None:
    """Delete instances and wait for the end of their pods, which would disturb the next measurement."""
    async with watching(run.client, PODS, run.namespace) as pods:
        await remove(run, names)
        await pods.until_count(0)


def _templates(kind: Kind) -> Kind:
    return HOPPER_TEMPLATES if kind == HOPPER else PEER_TEMPLATES


def _runs_generation_2(manifest: Manifest) -> bool:
    status = manifest.get("status", {})
    conditions = status.get("conditions", ())
    is_ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return is_ready and status["phase"] == "Running" and status.get("templateGeneration") == 2
