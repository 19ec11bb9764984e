"""A real cluster for the tests: one for the whole run, a namespace of its own for each test."""

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

# test-<pid of the test run>, and a suffix for further clusters of the same run.
NAME = re.compile(r"test-(\d+)(-.*)?")


def cluster_name(suffix: str = "") -> str:
    """The name of a cluster that only this test run uses."""
    return "-".join(filter(None, ("test", str(os.getpid()), suffix)))


ROOT = Path(__file__).parents[2]
# How simulated pods behave.
STAGES = Path(__file__).parent / "stages" / "pods.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this directory."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster, gone after the last test; HOPPER_TEST_KUBECONFIG names one to use (and keep) instead."""
    if path := os.environ.get("HOPPER_TEST_KUBECONFIG"):
        yield CurrentCluster(Path(path))
        return
    _remove_leftovers()
    own = LocalCluster(cluster_name(), extra_args={"kwok-controller": {"config": str(STAGES)}})
    start_or_skip(own)
    try:
        yield own
    finally:
        own.down()


@pytest.fixture
def new_cluster() -> Iterator[Callable[..., LocalCluster]]:
    """Start another cluster, for a test that is rough with it: `new_cluster("x", extra_args=…)`. Gone afterwards."""
    started: list[LocalCluster] = []

    def start(suffix: str = "own", **options: Any) -> LocalCluster:
        own = LocalCluster(cluster_name(suffix), **options)
        started.append(own)
        start_or_skip(own)
        return own

    yield start
    for own in started:
        own.down()


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> None:
    """The definitions and the manifests, as a user applies them, ready for use."""
    for source in ("crds", "manifests/deletion-protection.yaml"):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(ROOT / source))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "--filename", str(ROOT / "crds"))


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """The name of a fresh namespace. Its deletion goes on after the test."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.fixture
def instances(cluster: Cluster, namespace: str) -> KubectlInstances:
    """HopperInstances of a fresh namespace."""
    return KubectlInstances(cluster, namespace)


def start_or_skip(own: LocalCluster) -> None:
    """Start a cluster; where that cannot be, skip the test, or fail it where nothing may be skipped."""
    try:
        own.up(PlainProgress(sys.__stderr__))
    except LocalError as error:
        if os.environ.get("HOPPER_REQUIRE_ALL"):
            raise
        pytest.skip(f"no local cluster: {error}")


def _remove_leftovers() -> None:
    """End the clusters of test runs that were killed."""
    for name in known_clusters():
        if (match := NAME.fullmatch(name)) and not _runs(int(match[1])):
            with contextlib.suppress(LocalError):
                LocalCluster(name).down()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
