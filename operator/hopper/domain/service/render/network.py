"""The Service, which gives the pods an address, and the Ingress, which gives that address host names."""

from hopper.api.enums import PortProtocol
from hopper.api.names import LABEL_PAUSED
from hopper.api.resources import Manifest
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.render.meta import manifest
from hopper.domain.service.render.mode import Mode


def service(blueprint: Blueprint, mode: Mode) -> Manifest | None:
    """Return the Service, None where there are no ports.

    Pausing happens here: the selector asks for a label that no pod has, so that the endpoints are empty at once while
    the pods know nothing of it.
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
    return manifest(blueprint, "v1", "Service", blueprint.names.base, spec=spec)


def ingress(blueprint: Blueprint) -> Manifest | None:
    """Return the Ingress, None where there are no domains. The cluster's default class serves it."""
    if not blueprint.spec.domains:
        return None
    rules = []
    for domain in blueprint.spec.domains:
        backend = {"name": blueprint.names.base, "port": {"number": _service_port(blueprint, domain.proxy_port)}}
        path = {"path": "/", "pathType": "Prefix", "backend": {"service": backend}}
        rules.append({"host": domain.domain, "http": {"paths": [path]}})
    return manifest(blueprint, "networking.k8s.io/v1", "Ingress", blueprint.names.base, spec={"rules": rules})


def port_name(port: int, protocol: PortProtocol) -> str:
    """Return the name of a port, such as `tcp-80`."""
    return f"{protocol.lower()}-{port}"


def _service_port(blueprint: Blueprint, container_port: int | None) -> int:
    """Return the Service's port for a port of the container; by default the lowest one that speaks TCP."""
    ports = (port for port in blueprint.spec.ports if port.protocol is PortProtocol.TCP)
    found = next(port for port in ports if container_port in (None, port.container_port))
    return found.host_port or found.container_port
