"""Can services reach each other? The ports that they need, and the names that they have in the cluster.

In compose, services reach each other by their names and on any port. In the cluster, the Service of an instance has
another name, and offers the ports of the template only.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hopper.api.names import DEFAULT_PREFIX
from hopper.api.service import PortEntry
from hopper.compose.hosts.references import Reference
from hopper.compose.report import Report, Reporter
from hopper.compose.services.ports import MAX_PORTS
from hopper.compose.services.service import ConvertedService
from hopper.domain.service.naming import base_name

# What well-known images listen on, for those that are reached without a port.
_USUAL_PORTS = {
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


def with_reached_ports(
    references: Sequence[Reference], services: Sequence[ConvertedService], files: Mapping[str, str], report: Report
) -> list[ConvertedService]:
    """Return the services with the ports on which others reach them; where none is known, that is reported.

    `files` are the compose files, by the services' object names.
    """
    called = {service.name: service.service for service in services}
    reaching: dict[str, list[tuple[str, int | None]]] = {}
    for one in references:
        if not one.is_own or one.mention.is_written:  # by its own name, it tells others where it is reached
            ports = one.mention.ports or (None,)
            reaching.setdefault(one.other, []).extend((called[one.service], port) for port in ports)
    waiting: dict[str, list[tuple[str, int | None]]] = {}
    for service in services:
        for wanted in service.spec.depends_on or ():
            waiting.setdefault(wanted, []).append((service.service, None))
    result = []
    for service in services:
        about = report.about(files[service.name], service.service)
        result.append(_with_ports(service, reaching.get(service.name) or waiting.get(service.name) or [], about))
    return result


def _with_ports(
    service: ConvertedService, reaching: Sequence[tuple[str, int | None]], about: Reporter
) -> ConvertedService:
    """Return a service with the ports at which others reach it, given their names and the ports, where known."""
    wanted = {port: name for name, port in reversed(reaching) if port is not None}
    usual = _USUAL_PORTS.get(_image_name(service.spec.image))
    if not wanted and not service.spec.ports and reaching and usual:
        wanted = {usual: reaching[0][0]}
    added = [port for port in sorted(wanted) if _is_free(port, service.spec.ports)]
    for port in added:
        about.changed("ports", f"port {port} was added, as {wanted[port]} reaches it there")
    ports = (*service.spec.ports, *(PortEntry(container_port=port) for port in added))
    if reaching and not ports:
        names = ", ".join(dict.fromkeys(name for name, _ in reaching))
        advice = "Add the port to the template, or expose to the compose file"
        about.dropped("ports", f"{names} cannot reach it: no port is known", advice)
    return replace(service, spec=replace(service.spec, ports=ports))


def address_of(service: str, stack: str | None, prefix: str = DEFAULT_PREFIX) -> str:
    """Return what the Service of a service's instance is called."""
    return base_name(prefix, stack, f"{stack}-{service}") if stack is not None else f"{prefix}-STACK-{service}"


def moved_ports(service: ConvertedService) -> dict[int, int]:
    """Return the ports that the Service offers under another number, and that number."""
    ports = {(port.container_port, port.protocol): port for port in (*service.spec.ports, *service.overrides.ports)}
    return {
        port.container_port: port.host_port
        for port in ports.values()
        if port.host_port is not None and port.host_port != port.container_port
    }


def report_host_names(
    references: Iterable[Reference], services: Sequence[ConvertedService], files: Mapping[str, str], report: Report
) -> None:
    """Say where services reach others by their compose names, under which a cluster does not know them."""
    by_name = {service.name: service for service in services}
    told: dict[tuple[str, str], dict[str, None]] = {}
    for one in references:
        told.setdefault((one.service, one.other), {})[str(one.place)] = None
    for (name, other), keys in told.items():
        called = by_name[other].service if other in by_name else other
        moved = moved_ports(by_name[other]) if other in by_name else {}
        ports = ", ".join(f"port {offered} for {port}" for port, offered in moved.items())
        address = address_of(other, None) + (f" ({ports})" if ports else "")
        advice = f"Import with --stack, or override the value in the instance: there it is {address}"
        message = f"it reaches {called} by its compose name, which no Service has"
        report.about(files[name], by_name[name].service).changed(", ".join(keys), message, advice)


def _is_free(port: int, ports: Sequence[PortEntry]) -> bool:
    taken = {number for entry in ports for number in (entry.container_port, entry.host_port)}
    return port not in taken and len(ports) < MAX_PORTS


def _image_name(image: str) -> str:
    return re.split(r"[:@]", image.rpartition("/")[2])[0]
