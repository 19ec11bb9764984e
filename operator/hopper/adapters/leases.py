"""A `coordination.k8s.io` Lease on the API server. RBAC: get, create and patch on `leases`."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from hopper.adapters.kube import MERGE_PATCH, Kube
from hopper.api.names import FIELD_MANAGER
from hopper.ports import LeaseRecord, NotFoundError

_API_VERSION = "coordination.k8s.io/v1"
_MANAGER = urlencode({"fieldManager": FIELD_MANAGER})
_NEVER = datetime.min.replace(tzinfo=UTC)


class KubeLease:
    """`ports.LeaseStore`: the Lease of that namespace and name."""

    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        self._kube = kube
        self._name = name
        self._leases = f"/apis/{_API_VERSION}/namespaces/{quote(namespace)}/leases"
        self._lease = f"{self._leases}/{quote(name)}"

    async def read(self) -> LeaseRecord | None:
        try:
            return _parse(await self._kube.request("GET", self._lease, resource="leases"))
        except NotFoundError:
            return None

    async def write(self, record: LeaseRecord) -> LeaseRecord:
        spec = {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": record.duration_seconds,
            "acquireTime": _micro(record.acquired),
            "renewTime": _micro(record.renewed),
            "leaseTransitions": record.transitions,
        }
        if record.version:
            body = {"metadata": {"resourceVersion": record.version}, "spec": spec}
            # A patch leaves alone what others have put there, such as labels.
            written = await self._kube.request(
                "PATCH", self._lease, resource="leases", body=body, content_type=MERGE_PATCH, query=_MANAGER
            )
        else:
            body = {"apiVersion": _API_VERSION, "kind": "Lease", "metadata": {"name": self._name}, "spec": spec}
            written = await self._kube.request("POST", self._leases, resource="leases", body=body, query=_MANAGER)
        return _parse(written)


def _parse(raw: dict[str, Any]) -> LeaseRecord:
    spec = raw.get("spec") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        duration_seconds=spec.get("leaseDurationSeconds") or 0,
        acquired=_moment(spec.get("acquireTime")),
        renewed=_moment(spec.get("renewTime")),
        transitions=spec.get("leaseTransitions") or 0,
        version=raw["metadata"]["resourceVersion"],
    )


def _moment(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else _NEVER


def _micro(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
