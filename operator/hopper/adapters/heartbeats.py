"""The ConfigMaps of heartbeats on the API server."""

from collections.abc import Mapping
from urllib.parse import urlencode

from hopper.adapters.kube import MERGE_PATCH, Kube
from hopper.api.heartbeat import configmap_labels, configmap_name
from hopper.api.names import GATEWAY_MANAGER
from hopper.api.resources import OWNED_RESOURCES

_CONFIGMAPS = OWNED_RESOURCES["ConfigMap"]
_MANAGER = urlencode({"fieldManager": GATEWAY_MANAGER})


class KubeHeartbeats:
    """`ports.HeartbeatStore` on the real API server. Several may write the same object: each touches its own keys."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def merge(self, namespace: str, shard: int, changes: Mapping[str, str | None]) -> None:
        await self._kube.request(
            "PATCH",
            _CONFIGMAPS.path(namespace, configmap_name(shard)),
            resource=_CONFIGMAPS.plural,
            # Without the labels nobody would read what is written; somebody may have taken them away.
            body={"metadata": {"labels": configmap_labels()}, "data": dict(changes)},
            content_type=MERGE_PATCH,
            query=_MANAGER,
        )

    async def create(self, namespace: str, shard: int, data: Mapping[str, str]) -> None:
        metadata = {"name": configmap_name(shard), "labels": configmap_labels()}
        await self._kube.request(
            "POST",
            _CONFIGMAPS.path(namespace),
            resource=_CONFIGMAPS.plural,
            body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)},
            query=_MANAGER,
        )
