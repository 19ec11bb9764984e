"""Ports and host names under which services reach each other in the cluster.

In compose, a service is reached by its compose name, on any port. In the cluster, it is reached by the name of its
Service, on the ports of the template only. A published port is offered under its published number.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hopper.api.names import DEFAULT_PREFIX
from hopper.api.service import PortEntry
from hopper.compose.hosts.references import HostReference, LocationKind
from hopper.compose.report import Report, Reporter
from hopper.compose.services.ports import MAX_PORTS
from hopper.compose.services.service import ConvertedService
from hopper.domain.service.naming import base_name

# Ports of well-known images, for references without a port.
_IMAGE_PORTS = {
    **dict.fromkeys(("postgres", "postgis", "pgvector", "timescaledb"), 5432),
    **dict.fromkeys(("mysql", "mariadb", "percona"), 3306),
    **dict.fromkeys(("redis", "valkey", "keydb"), 6379),
    **dict.fromkeys(("mongo", "mongodb"), 27017),
    **dict.fromkeys(("elasticsearch", "opensearch"), 9200),
    "rabbitmq": 5672,
    "memcached": 11211,
    "kafka": 9092,
    "nats": 4222,
    "minio": 9000,
    "clickhouse-server": 8123,
}
_HOST_WORD = re.compile(r"HOST(NAME)?|ADDR(ESS)?|SERVER", re.IGNORECASE)

# The compose name of a client, and the port that it connects to, or None if that is unknown.
Client = tuple[str, int | None]


def service_host(service: str, stack: str | None, prefix: str = DEFAULT_PREFIX) -> str:
    """Return the name of the Service of an instance. Without a stack, it contains the placeholder STACK."""
    return base_name(prefix, stack, f"{stack}-{service}") if stack is not None else f"{prefix}-STACK-{service}"


def republished_ports(service: ConvertedService) -> dict[int, int]:
    """Return the ports of the Service by container port, where the two differ."""
    ports = {(port.container_port, port.protocol): port for port in (*service.spec.ports, *service.overrides.ports)}
    return {
        port.container_port: port.host_port
        for port in ports.values()
        if port.host_port is not None and port.host_port != port.container_port
    }


def find_port_variable(service: ConvertedService, host_variable: str) -> tuple[str, str]:
    """Return name and value of the variable for the port that belongs to a variable for a host.

    For example, DB_PORT belongs to DB_HOST. The value is empty if there is no such variable.
    """
    name = _HOST_WORD.sub("PORT" if host_variable.isupper() else "port", host_variable, count=1)
    return name, next((entry.value or "" for entry in service.spec.env if entry.name == name), "")


def add_reached_ports(
    references: Sequence[HostReference],
    services: Sequence[ConvertedService],
    compose_files: Mapping[str, str],
    report: Report,
) -> list[ConvertedService]:
    """Return the services with the ports that other services connect to; unknown ports are reported.

    `compose_files` holds the labels of the compose files by object name.
    """
    compose_names = {service.name: service.service for service in services}
    clients: dict[str, list[Client]] = {}
    for reference in references:
        # A service that contains its own name with a port gives that address to its clients.
        if not reference.is_self_reference or reference.mention.has_explicit_port:
            ports = reference.mention.ports or (None,)
            clients.setdefault(reference.target, []).extend((compose_names[reference.service], port) for port in ports)
    dependents: dict[str, list[Client]] = {}
    for service in services:
        for dependency in service.spec.depends_on or ():
            dependents.setdefault(dependency, []).append((service.service, None))
    return [
        _with_ports(
            service,
            clients.get(service.name) or dependents.get(service.name) or [],
            report.reporter_for(compose_files[service.name], service.service),
        )
        for service in services
    ]


def _with_ports(service: ConvertedService, clients: Sequence[Client], reporter: Reporter) -> ConvertedService:
    """Return a service with the ports that its clients connect to."""
    clients_by_port = {port: client for client, port in reversed(clients) if port is not None}
    image_port = _IMAGE_PORTS.get(_image_name(service.spec.image))
    if not clients_by_port and not service.spec.ports and clients and image_port:
        clients_by_port = {image_port: clients[0][0]}
    added = [port for port in sorted(clients_by_port) if _is_free(port, service.spec.ports)]
    for port in added:
        reporter.changed("ports", f"port {port} was added, because {clients_by_port[port]} connects to it")
    ports = (*service.spec.ports, *(PortEntry(container_port=port) for port in added))
    if clients and not ports:
        names = ", ".join(dict.fromkeys(client for client, _ in clients))
        advice = "Add the port to the template, or to expose in the compose file"
        reporter.dropped("ports", f"{names} cannot connect to it, because no port is known", advice)
    return replace(service, spec=replace(service.spec, ports=ports))


def override_republished_ports(
    references: Iterable[HostReference],
    services: Sequence[ConvertedService],
    compose_files: Mapping[str, str],
    report: Report,
) -> list[ConvertedService]:
    """Return the services with overrides that offer the container port under its own number.

    Only services that others reach without a port number get them: programs then use the default port, which is the
    container port. `compose_files` holds the labels of the compose files by object name.
    """
    by_name = {service.name: service for service in services}
    clients: dict[str, dict[str, None]] = {}
    for reference in references:
        is_without_port = reference.mention.port is None and not _has_port_variable(reference, by_name)
        if is_without_port and not reference.is_self_reference:
            clients.setdefault(reference.target, {})[by_name[reference.service].service] = None
    result = []
    for service in services:
        overrides = _restored_ports(service) if service.name in clients else ()
        if overrides:
            republished = republished_ports(service)
            ports = ", ".join(
                f"{port.container_port} instead of {republished[port.container_port]}" for port in overrides
            )
            names = ", ".join(clients[service.name])
            message = f"the instance offers {ports}, because connections from {names} have no port number"
            report.reporter_for(compose_files[service.name], service.service).changed("ports", message)
            service = replace(service, overrides=replace(service.overrides, ports=overrides))
        result.append(service)
    return result


def report_host_names(
    references: Iterable[HostReference],
    services: Sequence[ConvertedService],
    compose_files: Mapping[str, str],
    report: Report,
) -> None:
    """Report the places that contain compose names of other services, which do not exist in the cluster."""
    by_name = {service.name: service for service in services}
    keys: dict[tuple[str, str], dict[str, None]] = {}
    for reference in references:
        keys.setdefault((reference.service, reference.target), {})[str(reference.location)] = None
    for (name, target), locations in keys.items():
        compose_name = by_name[target].service if target in by_name else target
        republished = republished_ports(by_name[target]) if target in by_name else {}
        ports = ", ".join(f"port {offered} instead of {port}" for port, offered in republished.items())
        address = service_host(target, None) + (f" ({ports})" if ports else "")
        message = f"the value contains the compose name {compose_name}, which does not exist in the cluster"
        advice = f"Import with --stack, or override the value in the instance: the host name is {address}"
        reporter = report.reporter_for(compose_files[name], by_name[name].service)
        reporter.changed(", ".join(locations), message, advice)


def _has_port_variable(reference: HostReference, services: Mapping[str, ConvertedService]) -> bool:
    if reference.location.kind is not LocationKind.VARIABLE or not reference.mention.is_whole_text:
        return False
    return bool(find_port_variable(services[reference.service], str(reference.location.key))[1])


def _restored_ports(service: ConvertedService) -> tuple[PortEntry, ...]:
    """Return the ports that are published under another number, without that number, if their own number is free."""
    taken = {(port.host_port or port.container_port, port.protocol) for port in service.spec.ports}
    return tuple(
        PortEntry(container_port=port.container_port, protocol=port.protocol)
        for port in service.spec.ports
        if port.host_port not in (None, port.container_port) and (port.container_port, port.protocol) not in taken
    )


def _is_free(port: int, ports: Sequence[PortEntry]) -> bool:
    taken = {number for entry in ports for number in (entry.container_port, entry.host_port)}
    return port not in taken and len(ports) < MAX_PORTS


def _image_name(image: str) -> str:
    return re.split(r"[:@]", image.rpartition("/")[2])[0]
