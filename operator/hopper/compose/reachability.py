"""Between services: where one reaches another, under which name, and on which port.

In compose, a service reaches every port of every other one, by its name. In a cluster it reaches the ports that a
Service offers, by that Service's name; and there is a Service only for an instance with ports.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hopper.api.names import DEFAULT_PREFIX
from hopper.api.service import PortEntry
from hopper.compose.project import Project
from hopper.compose.reading.merge import as_assignments
from hopper.compose.reading.text import as_text
from hopper.compose.report import Report
from hopper.compose.services.ports import MAX_PORTS
from hopper.compose.services.service import ConvertedService
from hopper.domain.service.naming import base_name

_HOST_VARIABLE = re.compile(r"host|addr|server|url|uri|endpoint|broker|node|upstream|proxy", re.IGNORECASE)
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


@dataclass(frozen=True, slots=True)
class Reference:
    """One service reaches another: by which keys, and on which ports."""

    project: Project
    service: str
    name: str
    keys: tuple[str, ...]
    ports: frozenset[int]


def with_reached_ports(
    projects: Sequence[Project], references: Sequence[Reference], services: Sequence[ConvertedService], report: Report
) -> list[ConvertedService]:
    """Return the services with the ports on which others reach them; where none is known, that is reported."""
    places = {own: (p, name) for p in projects for name, own in p.names.items()}
    result = []
    for service in services:
        project, name = places[service.name]
        about = report.about(project.label, name)
        wanted = {
            port: reference.service
            for reference in references
            if reference.name == service.name and (reference.project, reference.service) != (project, name)
            for port in reference.ports
        }
        waiting = [other.service for other in services if service.name in (other.spec.depends_on or ())]
        reached = [r.service for r in references if r.name == service.name and r.service != name] or waiting
        usual = _USUAL_PORTS.get(_image_name(service.spec.image))
        if not wanted and not service.spec.ports and reached and usual:
            wanted = {usual: reached[0]}
        added = [port for port in sorted(wanted) if _is_free(port, service.spec.ports)]
        for port in added:
            about.changed("ports", f"port {port} was added, as {wanted[port]} reaches it there")
        ports = (*service.spec.ports, *(PortEntry(container_port=port) for port in added))
        if reached and not ports:
            advice = "Add the port to the template, or expose to the compose file"
            about.dropped("ports", f"{', '.join(dict.fromkeys(reached))} cannot reach it: no port is known", advice)
        result.append(replace(service, spec=replace(service.spec, ports=ports)))
    return result


def report_host_names(
    references: Iterable[Reference], services: Sequence[ConvertedService], stack: str | None, report: Report
) -> None:
    """Say where services reach others by their compose name, under which a cluster does not know them."""
    addresses = {service.name: _address(service, stack) for service in services}
    for reference in references:
        called = next(name for name, own in _names(reference.project).items() if own == reference.name)
        message = f"it reaches {called} by its compose name, which no Service has"
        advice = f"Override the value in the instance: there it is {addresses.get(reference.name, reference.name)}"
        report.about(reference.project.label, reference.service).changed(", ".join(reference.keys), message, advice)


def find_references(projects: Iterable[Project]) -> Iterator[Reference]:
    """Yield where services name others as hosts: in variables and command lines."""
    for project in projects:
        for service, raw in project.services.items():
            values = dict(_values(raw))
            for other, name in _names(project).items():
                # Its own name alone is what it calls itself.
                reached = [k for k, v in values.items() if (other, v) != (service, service) and _reaches(k, v, other)]
                if reached:
                    ports = {port for key in reached for port in _ports(values[key], other)}
                    yield Reference(project, service, name, tuple(reached), frozenset(ports))


def _names(project: Project) -> Mapping[str, str]:
    return {**project.other_names, **project.names}


def _values(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in (as_assignments(raw.get("environment")) or {}).items():
        yield f"environment.{name}", as_text(value)
    for key in ("entrypoint", "command"):
        value = raw.get(key)
        words = value if isinstance(value, list) else [value]
        yield key, " ".join(as_text(word) for word in words if not isinstance(word, dict | list))


def _reaches(key: str, value: str, service: str) -> bool:
    if service not in value:
        return False
    if value == service:
        return bool(_HOST_VARIABLE.search(key))
    return bool(_ports(value, service)) or bool(re.search(rf"://([^@/\s]*@)?{re.escape(service)}(?![\w.-])", value))


def _ports(value: str, service: str) -> list[int]:
    found = re.findall(rf"(?<![\w.-]){re.escape(service)}:(\d{{2,5}})(?!\d)", value)
    return [int(port) for port in found if 1 <= int(port) <= 65535]


def _is_free(port: int, ports: Sequence[PortEntry]) -> bool:
    taken = {number for entry in ports for number in (entry.container_port, entry.host_port)}
    return port not in taken and len(ports) < MAX_PORTS


def _image_name(image: str) -> str:
    return re.split(r"[:@]", image.rpartition("/")[2])[0]


def _address(service: ConvertedService, stack: str | None) -> str:
    """Return the name of the Service, and the ports that are not what they are inside."""
    name = f"{DEFAULT_PREFIX}-STACK-{service.name}"
    if stack is not None:
        name = base_name(DEFAULT_PREFIX, stack, f"{stack}-{service.name}")
    moved = [
        f"port {port.host_port} for {port.container_port}"
        for port in service.spec.ports
        if port.host_port not in (None, port.container_port)
    ]
    return f"{name} ({', '.join(moved)})" if moved else name
