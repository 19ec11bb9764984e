"""HopperInstances in the tests: write them, read them, see them refused, wait for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from hopper.local import Cluster
from hopper.local.errors import KubectlError

KIND = "hopperinstances.hopper.dev"


class KubectlInstances:
    """HopperInstances of one namespace, written with kubectl."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        return self.cluster.kubectl("--namespace", self.namespace, *args, input=input)

    def apply(self, name: str, spec: dict[str, Any], *args: str, **metadata: Any) -> None:
        manifest = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "spec": spec}
        manifest["metadata"] = {"name": name, **metadata}
        self.kubectl("apply", "--filename=-", *args, input=json.dumps(manifest))

    def try_out(self, name: str, spec: dict[str, Any]) -> None:
        """Have a spec checked by everything that a real write passes, without writing it."""
        self.apply(name, spec, "--dry-run=server")

    def patch(self, name: str, spec: dict[str, Any], *args: str) -> None:
        self.kubectl("patch", KIND, name, "--type=merge", f"--patch={json.dumps({'spec': spec})}", *args)

    def set_status(self, name: str, status: dict[str, Any]) -> None:
        patch = json.dumps({"status": status})
        self.kubectl("patch", KIND, name, "--subresource=status", "--type=merge", f"--patch={patch}")

    def get(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", KIND, name, "--output=json"))
        return found

    def names(self, *args: str) -> set[str]:
        listed = self.kubectl("get", KIND, "--output=jsonpath={.items[*].metadata.name}", *args)
        return set(listed.split())


def refusal(act: Callable[..., object], *args: Any) -> str:
    """Return what kubectl says when the API server refuses."""
    with pytest.raises(KubectlError) as caught:
        act(*args)
    return caught.value.stderr


def until(holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
