"""A tree deleted by its root: with Hopper, and by the cluster's garbage collection alone.

Alone means the same objects with the same ownerReferences, no finalizers, and no operator. It comes twice: on the
embedded cluster, which has lifted the limits of its controllers (there it deletes about as fast as the API server can),
and on one with the limits that Kubernetes has by default, as clusters in use have.
"""

from __future__ import annotations

import json

from hopper.api.enums import Scope
from hopper.api.names import GLOBAL_NAME
from tests.bench.client import Client, create, delete
from tests.bench.measure import Sample, Stage
from tests.bench.metrics import Tally
from tests.bench.objects import HOPPER, instance, tree
from tests.bench.operators import THE_OPERATOR, running
from tests.bench.rates import Rates
from tests.bench.watch import watching

GROW = "tree to Running"
CASCADE = "cascade deletion"
GARBAGE_COLLECTION = "garbage collection"
LIMITED_GARBAGE_COLLECTION = "the same, default limits"
DEFAULT_LIMITS = {"kube-controller-manager": {"kube-api-qps": "20", "kube-api-burst": "30"}}


async def measure_hopper(client: Client, namespace: str, size: int, rates: Rates) -> list[Sample]:
    """Build a tree with Hopper and delete its root."""
    samples: list[Sample] = []
    nodes = [node for level in tree(size) for node in level]
    async with running(client, THE_OPERATOR, namespace) as process:
        stage = Stage(client, rates, samples, THE_OPERATOR.name, HOPPER, namespace, process)
        calls = [create(HOPPER, namespace, instance(HOPPER, node.name, node.scope, node.parent)) for node in nodes]
        # Ownership takes a metadata patch, which costs what a patch of the spec does.
        await stage.drive(GROW, calls, "create", "Running", "spec patch")
        await _delete_root(stage, size)
    return samples


async def measure_garbage_collection(
    client: Client, namespace: str, size: int, rates: Rates, subject: str = GARBAGE_COLLECTION
) -> list[Sample]:
    """Build the same tree without an operator, with ownerReferences, and delete its root."""
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
    await (await Tally.begin(client, HOPPER)).settle()
    await _delete_root(Stage(client, rates, samples, subject, HOPPER, namespace), size)
    return samples


async def warm_up(client: Client, namespace: str) -> None:
    """Wait until garbage collection knows the kind: it looks for new ones every 30 seconds."""
    await client.make_namespace(namespace)
    made = json.loads(await client.send(create(HOPPER, namespace, instance(HOPPER, "owner"))))
    owned = instance(HOPPER, "owned", Scope.ORCHESTRATION, "owner", made["metadata"]["uid"])
    async with watching(client, HOPPER, namespace) as there:
        await client.send(create(HOPPER, namespace, owned))
        await client.send(delete(HOPPER, namespace, "owner"))
        await there.until(lambda count: count == 0)


async def _delete_root(stage: Stage, size: int) -> None:
    async with (
        watching(stage.client, stage.kind, stage.namespace) as there,
        stage.measured(CASCADE, size, "delete") as clock,
    ):
        await stage.client.send(delete(stage.kind, stage.namespace, GLOBAL_NAME))
        await there.until(lambda count: count == 0)
        clock.stop()
