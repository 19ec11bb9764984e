"""Deletion of a tree by its root: with Hopper, and by the cluster's garbage collection alone.

Alone means the same objects with the same ownerReferences, without finalizers and without an operator. Garbage
collection is measured twice. The embedded cluster lifts the limits of its controllers, so there it deletes about as
fast as the API server can. A second cluster keeps the default limits of Kubernetes, as most clusters do.
"""

from __future__ import annotations

import json

from hopper.api.enums import Scope
from hopper.api.names import GLOBAL_NAME
from tests.bench.client import Client, create, delete
from tests.bench.manifests import HOPPER, instance, tree
from tests.bench.matching_names import watching
from tests.bench.measure import Sample, SubjectRun
from tests.bench.operators import THE_OPERATOR, running
from tests.bench.raw_rates import RawRates
from tests.bench.request_tally import RequestTally

GROW = "tree to Running"
CASCADE = "cascade deletion"
GARBAGE_COLLECTION = "garbage collection"
LIMITED_GARBAGE_COLLECTION = "garbage collection, default limits"
DEFAULT_LIMITS = {"kube-controller-manager": {"kube-api-qps": "20", "kube-api-burst": "30"}}


async def measure_hopper(client: Client, namespace: str, size: int, rates: RawRates) -> list[Sample]:
    """Build a tree with Hopper and delete its root."""
    samples: list[Sample] = []
    nodes = [node for level in tree(size) for node in level]
    async with running(client, THE_OPERATOR, namespace) as process:
        run = SubjectRun(client, rates, samples, THE_OPERATOR.name, HOPPER, namespace, process)
        calls = [create(HOPPER, namespace, instance(HOPPER, node.name, node.scope, node.parent)) for node in nodes]
        # The metadata patch with ownerReference and finalizer costs as much as a patch of the spec.
        await run.send_and_measure(GROW, calls, "create", "Running", "spec patch")
        await _delete_root(run, size)
    return samples


async def measure_garbage_collection(
    client: Client, namespace: str, size: int, rates: RawRates, subject: str = GARBAGE_COLLECTION
) -> list[Sample]:
    """Build the same tree with ownerReferences and without an operator, and delete its root."""
    samples: list[Sample] = []
    await client.make_namespace(namespace)
    uids: dict[str, str] = {}
    for level in tree(size):
        manifests = [
            instance(HOPPER, node.name, node.scope, node.parent, uids[node.parent] if node.parent else None)
            for node in level
        ]
        calls = [create(HOPPER, namespace, manifest) for manifest in manifests]
        for answer in await client.send_all(calls, rates.best_concurrency("create")):
            metadata = json.loads(answer)["metadata"]
            uids[metadata["name"]] = metadata["uid"]
    await (await RequestTally.begin(client, HOPPER)).settle()
    await _delete_root(SubjectRun(client, rates, samples, subject, HOPPER, namespace), size)
    return samples


async def until_collected(client: Client, namespace: str) -> None:
    """Wait until garbage collection deletes instances. It discovers new kinds every 30 seconds."""
    await client.make_namespace(namespace)
    owner = json.loads(await client.send(create(HOPPER, namespace, instance(HOPPER, "owner"))))
    owned = instance(HOPPER, "owned", Scope.ORCHESTRATION, "owner", owner["metadata"]["uid"])
    async with watching(client, HOPPER, namespace) as existing:
        await client.send(create(HOPPER, namespace, owned))
        await client.send(delete(HOPPER, namespace, "owner"))
        await existing.until_count(0)


async def _delete_root(run: SubjectRun, size: int) -> None:
    async with (
        watching(run.client, run.kind, run.namespace) as existing,
        run.measured(CASCADE, size, "delete") as clock,
    ):
        await run.client.send(delete(run.kind, run.namespace, GLOBAL_NAME))
        await existing.until_count(0)
        clock.stop()
