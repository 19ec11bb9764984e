"""Objects that several processes share: the Lease of the leader, and the ConfigMaps of heartbeats.

RBAC for the Lease: get, create and patch on `leases`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from hopper.adapters.kube import MERGE_PATCH, KubeClient
from hopper.api.heartbeat import configmap_labels, configmap_name
from hopper.api.names import FIELD_MANAGER, GATEWAY_MANAGER
from hopper.api.resources import OWNED_RESOURCES, Manifest
from hopper.ports import LeaseRecord, NotFoundError

_LEASE_API_VERSION = "coordination.k8s.io/v1"
_OPERATOR_QUERY = urlencode({"fieldManager": FIELD_MANAGER})
_GATEWAY_QUERY = urlencode({"fieldManager": GATEWAY_MANAGER})
_NEVER = datetime.min.replace(tzinfo=UTC)
_CONFIGMAPS = OWNED_RESOURCES["ConfigMap"]


class KubeLease:
    """`ports.LeaseStore` for one Lease on an API server."""

    def __init__(self, kube: KubeClient, namespace: str, name: str) -> None:
        self._kube = kube
        self._name = name
        self._collection_path = f"/apis/{_LEASE_API_VERSION}/namespaces/{quote(namespace)}/leases"
        self._path = f"{self._collection_path}/{quote(name)}"

    async def read(self) -> LeaseRecord | None:
        try:
            return _parse_lease(await self._kube.request("GET", self._path, resource="leases"))
        except NotFoundError:
            return None

    async def write(self, record: LeaseRecord) -> LeaseRecord:
        spec = {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": record.duration_seconds,
            "acquireTime": _format_time(record.acquired),
            "renewTime": _format_time(record.renewed),
            "leaseTransitions": record.transitions,
        }
        if record.version:
            # A patch, because it keeps the fields of other field managers, such as labels.
            body = {"metadata": {"resourceVersion": record.version}, "spec": spec}
            written = await self._kube.request(
                "PATCH", self._path, resource="leases", body=body, content_type=MERGE_PATCH, query=_OPERATOR_QUERY
            )
        else:
            metadata = {"name": self._name}
            body = {"apiVersion": _LEASE_API_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}
            written = await self._kube.request(
                "POST", self._collection_path, resource="leases", body=body, query=_OPERATOR_QUERY
            )
        return _parse_lease(written)


class KubeHeartbeats:
    """`ports.HeartbeatStore` on an API server. Each gateway patches only its own keys of a shard."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def merge(self, namespace: str, shard: int, changes: Mapping[str, str | None]) -> None:
        await self._kube.request(
            "PATCH",
            _CONFIGMAPS.path(namespace, configmap_name(shard)),
            resource=_CONFIGMAPS.plural,
            # Restore the labels in case they were removed: readers select the ConfigMap by them.
            body={"metadata": {"labels": configmap_labels()}, "data": dict(changes)},
            content_type=MERGE_PATCH,
            query=_GATEWAY_QUERY,
        )

    async def create(self, namespace: str, shard: int, data: Mapping[str, str]) -> None:
        metadata = {"name": configmap_name(shard), "labels": configmap_labels()}
        await self._kube.request(
            "POST",
            _CONFIGMAPS.path(namespace),
            resource=_CONFIGMAPS.plural,
            body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)},
            query=_GATEWAY_QUERY,
        )


def _parse_lease(raw: Manifest) -> LeaseRecord:
    spec = raw.get("spec") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        duration_seconds=spec.get("leaseDurationSeconds") or 0,
        acquired=_parse_time(spec.get("acquireTime")),
        renewed=_parse_time(spec.get("renewTime")),
        transitions=spec.get("leaseTransitions") or 0,
        version=raw["metadata"]["resourceVersion"],
    )


def _parse_time(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else _NEVER


def _format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
