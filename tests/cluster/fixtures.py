"""An operator at work in a namespace of its own, and the instances there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hopper.controller.operator import Operator
from hopper.local import Cluster
from tests.cluster.invariants import violations
from tests.cluster.live import Live, fresh_namespace
from tests.cluster.running import running


@pytest.fixture
def kubeconfig(cluster: Cluster, crds: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of the cluster's kubeconfig, which KUBECONFIG names."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return str(cluster.kubeconfig)


@pytest.fixture
async def live(kubeconfig: str) -> AsyncIterator[Live]:
    """A fresh namespace under observation. After the test, nothing that was seen there may have been wrong."""
    async with fresh_namespace() as live:
        yield live
        found = violations(live.instances)
    assert not found, "\n".join(found)


@pytest.fixture
async def operator(live: Live) -> AsyncIterator[Operator]:
    """An operator at work in that namespace."""
    async with running(live.namespace, metrics_port=0) as operator:
        yield operator
