"""Rendering of the ConfigMap, the Secret, the PersistentVolumeClaims, the Service and the Ingress."""

from base64 import b64decode, b64encode
from typing import Any

from hopper.api.enums import PortProtocol
from hopper.api.instance import HopperInstance
from hopper.api.names import API_VERSION, INSTANCE_KIND, LABEL_PAUSED
from hopper.api.resources import Manifest
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.quantity import canonical_quantity
from hopper.domain.service.render.mode import Mode
from hopper.domain.service.revision import config_data, secret_data

DEFAULT_SIZE = "1Gi"
# Never the name of a variable or the key of a file.
CHECKSUM_KEY = ".checksum-key"


def owner_reference(instance: HopperInstance) -> Manifest:
    """Return the owner reference that makes an instance the controller of an object."""
    return {
        "apiVersion": API_VERSION,
        "kind": INSTANCE_KIND,
        "name": instance.name,
        "uid": instance.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned_manifest(blueprint: Blueprint, api_version: str, kind: str, name: str, **content: Any) -> Manifest:
    """Return a manifest with the namespace, labels and owner reference of the instance."""
    metadata = {
        "name": name,
        "namespace": blueprint.names.namespace,
        "labels": dict(blueprint.names.labels),
        "ownerReferences": [owner_reference(blueprint.instance)],
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def render_config_map(blueprint: Blueprint) -> Manifest | None:
    """Return the ConfigMap, None if it would be empty."""
    data = config_data(blueprint)
    return owned_manifest(blueprint, "v1", "ConfigMap", blueprint.names.base, data=data) if data else None


def render_secret(blueprint: Blueprint) -> Manifest | None:
    """Return the Secret, None if it would be empty.

    It has `data` and not `stringData`, because `stringData` cannot be read back and compared.
    """
    values = secret_data(blueprint)
    if not values:
        return None
    key = {CHECKSUM_KEY: blueprint.checksum_key} if blueprint.checksum_key else {}
    data = {name: b64encode(value.encode()).decode() for name, value in (values | key).items()}
    return owned_manifest(blueprint, "v1", "Secret", blueprint.names.base, type="Opaque", data=data)


def checksum_key(secret: Manifest | None) -> str:
    """Return the key of the pods' checksum in the Secret of an instance, an empty string if it holds none."""
    encoded = ((secret or {}).get("data") or {}).get(CHECKSUM_KEY, "")
    try:
        return b64decode(encoded, validate=True).decode("ascii")
    except ValueError:
        return ""


def render_claims(blueprint: Blueprint) -> list[Manifest]:
    """Return the PersistentVolumeClaims, sorted by name."""
    sizes = blueprint.claim_sizes
    return [_claim(blueprint, name, sizes[name] or DEFAULT_SIZE) for name in sorted(sizes)]


def render_service(blueprint: Blueprint, mode: Mode) -> Manifest | None:
    """Return the Service, None if there are no ports.

    The Service of a paused instance also selects a label that no pod has. Its endpoints become empty at once, and the
    pods are not changed.
    """
    if not blueprint.spec.ports:
        return None
    ports = [
        {
            "name": port_name(port.host_port or port.container_port, port.protocol),
            "port": port.host_port or port.container_port,
            "targetPort": port.container_port,
            "protocol": port.protocol.value,
        }
        for port in blueprint.spec.ports
    ]
    selector = blueprint.names.selector | ({LABEL_PAUSED: "true"} if mode is Mode.PAUSED else {})
    spec = {"type": "ClusterIP", "selector": selector, "ports": ports}
    return owned_manifest(blueprint, "v1", "Service", blueprint.names.base, spec=spec)


def render_ingress(blueprint: Blueprint) -> Manifest | None:
    """Return the Ingress, None if there are no domains. It uses the default IngressClass of the cluster."""
    if not blueprint.domains:
        return None
    rules = []
    for domain in blueprint.domains:
        backend = {"name": blueprint.names.base, "port": {"number": _service_port(blueprint, domain.proxy_port)}}
        path = {"path": "/", "pathType": "Prefix", "backend": {"service": backend}}
        rules.append({"host": domain.domain, "http": {"paths": [path]}})
    return owned_manifest(blueprint, "networking.k8s.io/v1", "Ingress", blueprint.names.base, spec={"rules": rules})


def port_name(port: int, protocol: PortProtocol) -> str:
    """Return the name of a port, such as `tcp-80`."""
    return f"{protocol.lower()}-{port}"


def _claim(blueprint: Blueprint, name: str, size: str) -> Manifest:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": canonical_quantity(size)}}}
    return owned_manifest(blueprint, "v1", "PersistentVolumeClaim", name, spec=spec)


def _service_port(blueprint: Blueprint, container_port: int | None) -> int:
    """Return the Service port for a container port. The default is the first TCP port, which is the lowest."""
    tcp_ports = (port for port in blueprint.spec.ports if port.protocol is PortProtocol.TCP)
    target = next(port for port in tcp_ports if container_port in (None, port.container_port))
    return target.host_port or target.container_port
