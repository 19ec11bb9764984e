"""What the chaos tests share: a seed, an undisturbed operator to compare with, and the way to the proxy."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hopper.controller.operator import Operator
from hopper.local import Cluster, LocalCluster
from tests.cluster.support.chaos_tree import has_converged, outcome
from tests.cluster.support.in_process_operator import running
from tests.cluster.support.live_instances import LiveInstances, fresh_namespace
from tests.cluster.support.watch_recorder import Object

CONVERGE_SECONDS = 60


def seeded(what: str) -> random.Random:
    """Return a source of randomness; HOPPER_TEST_SEED repeats a run."""
    seed = os.environ.get("HOPPER_TEST_SEED") or str(random.randrange(10**6))
    print(f"{what}: HOPPER_TEST_SEED={seed}")  # noqa: T201
    return random.Random(f"{seed} {what}")


def own_local(cluster: Cluster) -> LocalCluster:
    """Return the cluster if its parts may be stopped and its keys used, else skip."""
    if isinstance(cluster, LocalCluster):
        return cluster
    if os.environ.get("HOPPER_REQUIRE_ALL"):
        pytest.fail("chaos needs a cluster of our own: unset HOPPER_TEST_KUBECONFIG")
    pytest.skip("chaos needs a cluster of our own, HOPPER_TEST_KUBECONFIG names another")


def until_pods_run(cluster: Cluster, namespace: str) -> None:
    """Wait until the rest of the control plane has noticed that the API server is back; other tests need it."""
    cluster.kubectl("create", "deployment", "probe", "--image=probe:1", f"--namespace={namespace}")
    available = "--for=condition=Available"
    cluster.kubectl("wait", "deployment/probe", available, "--timeout=120s", f"--namespace={namespace}")


@asynccontextmanager
async def undisturbed(manifests: list[Object]) -> AsyncIterator[tuple[LiveInstances, Operator]]:
    """Have an operator converge these instances in peace; from then on it goes on doing so."""
    async with fresh_namespace() as live, running(live.namespace) as operator:
        await live.create_from(*manifests)
        await live.until(lambda: has_converged(live, len(manifests)), "converged undisturbed", CONVERGE_SECONDS)
        yield live, operator


async def until_same(live: LiveInstances, expected: dict[str, Any], seconds: float = CONVERGE_SECONDS) -> None:
    """Wait until everything is as in `expected`; say what is not."""
    try:
        await live.until(lambda: outcome(live) == expected, "the same end state", seconds)
    except AssertionError:
        found = list(differences(outcome(live), expected))
        raise AssertionError("\n".join([f"not within {seconds:.0f} s: the same end state", *found])) from None


def differences(one: Any, two: Any, path: str = "") -> Iterator[str]:
    """Tell where two nested records differ."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in sorted(one.keys() | two.keys()):
            yield from differences(one.get(key), two.get(key), f"{path}.{key}")
    elif one != two:
        yield f"{path}: {one} instead of {two}"
