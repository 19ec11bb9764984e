"""HopperInstances of one namespace, written and read with kubectl as a user does."""

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
    """kubectl, limited to one namespace, with shorthands for HopperInstances."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        return self.cluster.kubectl("--namespace", self.namespace, *args, input=input)

    def apply(self, name: str, spec: dict[str, Any], *args: str, **metadata: Any) -> None:
        manifest = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "spec": spec}
        manifest["metadata"] = {"name": name, **metadata}
        self.kubectl("apply", "--filename=-", *args, input=json.dumps(manifest))

    def dry_run(self, name: str, spec: dict[str, Any]) -> None:
        """Send a spec through validation and admission without storing it."""
        self.apply(name, spec, "--dry-run=server")

    def patch(self, name: str, spec: dict[str, Any], *args: str) -> None:
        self.kubectl("patch", KIND, name, "--type=merge", f"--patch={json.dumps({'spec': spec})}", *args)

    def set_status(self, name: str, status: dict[str, Any]) -> None:
        patch = json.dumps({"status": status})
        self.kubectl("patch", KIND, name, "--subresource=status", "--type=merge", f"--patch={patch}")

    def get(self, name: str) -> dict[str, Any]:
        instance: dict[str, Any] = json.loads(self.kubectl("get", KIND, name, "--output=json"))
        return instance

    def names(self, *args: str) -> set[str]:
        output = self.kubectl("get", KIND, "--output=jsonpath={.items[*].metadata.name}", *args)
        return set(output.split())


def refusal(act: Callable[..., object], *args: Any) -> str:
    """Return the error output of a kubectl call that the API server must reject."""
    with pytest.raises(KubectlError) as caught:
        act(*args)
    return caught.value.stderr


def until(holds: Callable[[], bool], description: str, seconds: float = 30) -> None:
    """Wait until a condition holds; fail after this number of seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {description}"
        time.sleep(0.1)
