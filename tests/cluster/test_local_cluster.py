"""The local cluster itself: start, stop, second start, two at once, and everything half-way."""

from __future__ import annotations

from hopper.local import Cluster


def test_the_fixture_gives_a_real_api_server(cluster: Cluster, namespace: str) -> None:
    assert cluster.kubectl("get", "--raw=/readyz") == "ok"
    assert cluster.kubectl("get", "namespace", namespace, "--output=name").strip() == f"namespace/{namespace}"
