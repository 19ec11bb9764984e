"""Services that others reach without naming a port: in a stack, they are offered at their own ports.

Whoever says `db` means the port that programs take by themselves: the container's, whatever it is published as.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hopper.api.service import PortEntry
from hopper.compose.hosts.reachability import moved_ports
from hopper.compose.hosts.references import Kind, Reference
from hopper.compose.report import Report
from hopper.compose.services.service import ConvertedService

_HOST_WORD = re.compile(r"HOST(NAME)?|ADDR(ESS)?|SERVER", re.IGNORECASE)


def with_own_ports(
    references: Iterable[Reference], services: Sequence[ConvertedService], files: Mapping[str, str], report: Report
) -> list[ConvertedService]:
    """Return the services with overrides of their ports, where others need that. `files` are the compose files."""
    by_name = {service.name: service for service in services}
    reached: dict[str, dict[str, None]] = {}
    for one in references:
        if one.mention.port is None and not one.is_own and not _says_port(one, by_name):
            reached.setdefault(one.other, {})[by_name[one.service].service] = None
    result = []
    for service in services:
        own = _at_home(service) if service.name in reached else ()
        if own:
            names = ", ".join(reached[service.name])
            ports = ", ".join(f"{p.container_port} instead of {moved_ports(service)[p.container_port]}" for p in own)
            message = f"{names} reaches it without naming a port, so the instance offers {ports}"
            report.about(files[service.name], service.service).changed("ports", message)
            service = replace(service, overrides=replace(service.overrides, ports=own))
        result.append(service)
    return result


def port_beside(service: ConvertedService, variable: str) -> tuple[str, str]:
    """Return the variable that says the port where another one says the host, as DB_PORT does; and its value."""
    beside = _HOST_WORD.sub("PORT" if variable.isupper() else "port", variable, count=1)
    return beside, next((entry.value or "" for entry in service.spec.env if entry.name == beside), "")


def _says_port(reference: Reference, services: Mapping[str, ConvertedService]) -> bool:
    if reference.place.kind is not Kind.VARIABLE or not reference.mention.alone:
        return False
    return bool(port_beside(services[reference.service], str(reference.place.of))[1])


def _at_home(service: ConvertedService) -> tuple[PortEntry, ...]:
    """Return the ports that are published under another number, without it, where their own number is free."""
    taken = {(port.host_port or port.container_port, port.protocol) for port in service.spec.ports}
    return tuple(
        PortEntry(container_port=port.container_port, protocol=port.protocol)
        for port in service.spec.ports
        if port.host_port not in (None, port.container_port) and (port.container_port, port.protocol) not in taken
    )
