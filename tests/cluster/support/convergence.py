"""Tools of the chaos tests: a random seed, a reference run without faults, and the comparison of two outcomes."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hopper.api.resources import Manifest
from hopper.controller.operator import Operator
from hopper.local import Cluster, LocalCluster
from tests.cluster.support.chaos_tree import has_converged, outcome
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, fresh_namespace

CONVERGE_SECONDS = 60


def seeded_random(purpose: str) -> random.Random:
    """Return a random number generator, and print its seed; HOPPER_TEST_SEED repeats a run."""
    seed = os.environ.get("HOPPER_TEST_SEED") or str(random.randrange(10**6))
    print(f"{purpose}: HOPPER_TEST_SEED={seed}")  # noqa: T201
    return random.Random(f"{seed} {purpose}")


def local_cluster_or_skip(cluster: Cluster) -> LocalCluster:
    """Return the cluster if a test may stop its API server and use its keys; skip the test otherwise."""
    if isinstance(cluster, LocalCluster):
        return cluster
    if os.environ.get("HOPPER_REQUIRE_ALL"):
        pytest.fail("this test needs an embedded cluster: unset HOPPER_TEST_KUBECONFIG")
    pytest.skip("this test needs an embedded cluster, and HOPPER_TEST_KUBECONFIG names another cluster")


def until_pods_run(cluster: Cluster, namespace: str) -> None:
    """Wait until the other parts of the control plane work with a restarted API server, as later tests need them."""
    cluster.kubectl("create", "deployment", "probe", "--image=probe:1", f"--namespace={namespace}")
    available = "--for=condition=Available"
    cluster.kubectl("wait", "deployment/probe", available, "--timeout=120s", f"--namespace={namespace}")


@asynccontextmanager
async def reference_run(manifests: list[Manifest]) -> AsyncIterator[tuple[LiveInstances, Operator]]:
    """Create instances in a namespace of their own, and run an operator without faults until they have converged.

    The operator runs until the end of the context.
    """
    async with fresh_namespace() as live, running_operator(live.namespace) as operator:
        await live.create_from(*manifests)
        description = "reference run without faults has converged"
        await live.until(lambda: has_converged(live, len(manifests)), description, CONVERGE_SECONDS)
        yield live, operator


async def until_outcome(live: LiveInstances, expected: dict[str, Any], seconds: float = CONVERGE_SECONDS) -> None:
    """Wait until all instances have the expected outcome; fail with a list of the differences."""
    try:
        await live.until(lambda: outcome(live) == expected, "the expected outcome", seconds)
    except AssertionError:
        lines = list(differences(outcome(live), expected))
        raise AssertionError("\n".join([f"not within {seconds:.0f} s: the expected outcome", *lines])) from None


def differences(actual: Any, expected: Any, path: str = "") -> Iterator[str]:
    """Yield one line for each place in which two nested records differ."""
    if isinstance(actual, dict) and isinstance(expected, dict):
        for key in sorted(actual.keys() | expected.keys()):
            yield from differences(actual.get(key), expected.get(key), f"{path}.{key}")
    elif actual != expected:
        yield f"{path}: {actual} instead of {expected}"
