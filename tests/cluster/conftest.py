"""Cluster fixtures: one embedded cluster for the whole run, and a fresh namespace for each test."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopper.local import Cluster, CurrentCluster, LocalCluster, LocalError, known_clusters
from hopper.local.progress import PlainProgress
from tests.cluster.support.fixtures import kubeconfig, live, operator, rest, stages, workloads  # noqa: F401
from tests.cluster.support.kubectl_instances import KubectlInstances

# test-<pid of the test run>, with a suffix for additional clusters of the same run.
CLUSTER_NAME = re.compile(r"test-(\d+)(-.*)?")


def cluster_name(suffix: str = "") -> str:
    """Return the name of a cluster that only this test run uses."""
    return "-".join(filter(None, ("test", str(os.getpid()), suffix)))


ROOT = Path(__file__).parents[2]
# Behavior of the simulated pods.
STAGES = Path(__file__).parent / "stages" / "pods.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this directory as cluster tests."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Running cluster, removed after the last test; HOPPER_TEST_KUBECONFIG names a cluster to use and keep instead."""
    if path := os.environ.get("HOPPER_TEST_KUBECONFIG"):
        yield CurrentCluster(Path(path))
        return
    _remove_leftovers()
    started = LocalCluster(cluster_name(), extra_args={"kwok-controller": {"config": str(STAGES)}})
    start_or_skip(started)
    try:
        yield started
    finally:
        started.down()


@pytest.fixture
def new_cluster() -> Iterator[Callable[..., LocalCluster]]:
    """Function that starts an additional cluster, `new_cluster("x", extra_args=…)`; removed after the test."""
    started: list[LocalCluster] = []

    def start(suffix: str = "own", **options: Any) -> LocalCluster:
        additional = LocalCluster(cluster_name(suffix), **options)
        started.append(additional)
        start_or_skip(additional)
        return additional

    yield start
    for additional in started:
        additional.down()


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> None:
    """CRDs and the policy for deletion protection, applied as a user applies them and established."""
    for source in ("crds", "manifests/deletion-protection.yaml"):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(ROOT / source))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "--filename", str(ROOT / "crds"))


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Name of a fresh namespace. Its deletion is requested after the test and not waited for."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.fixture
def instances(cluster: Cluster, namespace: str) -> KubectlInstances:
    """HopperInstances of a fresh namespace."""
    return KubectlInstances(cluster, namespace)


def start_or_skip(cluster: LocalCluster) -> None:
    """Start a cluster; if that fails, skip the test, or fail it when HOPPER_REQUIRE_ALL is set."""
    try:
        cluster.up(PlainProgress(sys.__stderr__))
    except LocalError as error:
        if os.environ.get("HOPPER_REQUIRE_ALL"):
            raise
        pytest.skip(f"no local cluster: {error}")


def _remove_leftovers() -> None:
    """Remove the clusters of test runs that were killed."""
    for name in known_clusters():
        if (match := CLUSTER_NAME.fullmatch(name)) and not _is_running(int(match[1])):
            with contextlib.suppress(LocalError):
                LocalCluster(name).down()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
