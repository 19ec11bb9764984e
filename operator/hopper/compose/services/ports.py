"""Conversion of `ports` and `expose`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from hopper.api.enums import PortProtocol
from hopper.api.service import DomainEntry, PortEntry
from hopper.compose.reading.short_syntax import ShortPort, parse_port_range, parse_short_port
from hopper.compose.reading.tracked_text import as_text, is_blank, unresolved_variables
from hopper.compose.section import Section

MAX_PORTS = 64
_PORT_EXAMPLES = 'write it as in "8080:80", "127.0.0.1:8080:80/udp" or "3000-3005:3000-3005"'
_EXPOSE_EXAMPLES = 'write it as in "3000" or "3000-3005/udp"'
_MANY_PORTS_ADVICE = "A Service lists each port: for many ports, use a load balancer of your own"


@dataclass(frozen=True, slots=True)
class _WantedPort:
    """A port in the compose file, and the key it was found under."""

    key: str
    entry: PortEntry


def convert_ports(section: Section, domains: Sequence[DomainEntry] = ()) -> tuple[PortEntry, ...]:
    """Return the published ports, the ports in `expose`, and the ports behind the domains."""
    wanted_ports = [*_published_ports(section), *_exposed_ports(section)]
    proxied = {domain.proxy_port for domain in domains if domain.proxy_port is not None}
    wanted_ports += [_WantedPort("expose", PortEntry(container_port=port)) for port in sorted(proxied)]
    result: dict[tuple[int, PortProtocol], PortEntry] = {}
    offered: set[tuple[int, PortProtocol]] = set()
    for port in wanted_ports:
        _add_port(port, result, offered, section)
    return tuple(result.values())


def _add_port(
    port: _WantedPort,
    result: dict[tuple[int, PortProtocol], PortEntry],
    offered: set[tuple[int, PortProtocol]],
    section: Section,
) -> None:
    """Add a port, or report it if the port itself or the port that the Service offers for it is taken.

    `result` holds the entries by container port, and `offered` the ports of the Service.
    """
    entry, reporter = port.entry, section.reporter
    container = (entry.container_port, entry.protocol)
    if container in result:
        if port.key != "expose" and entry.host_port != result[container].host_port:
            message = f"port {entry.container_port} is published twice, and only the first published port is kept"
            reporter.dropped(port.key, message, "Keep one of them, or reach the instance at the first one")
        return
    if len(result) >= MAX_PORTS:
        key = port.key.partition("[")[0]  # one finding for all ports
        message = f"the service has more than {MAX_PORTS} ports, and only the first ones are kept"
        reporter.dropped(key, message, _MANY_PORTS_ADVICE)
        return
    service = (entry.host_port or entry.container_port, entry.protocol)
    if service in offered and entry.host_port and container not in offered:
        message = f"port {entry.host_port} of the Service is taken, so it offers port {entry.container_port}"
        reporter.changed(port.key, message)
        entry, service = replace(entry, host_port=None), container
    if service in offered:
        message = f"the Service offers port {service[0]} already"
        reporter.dropped(port.key, message, "Publish it as another port")
        return
    offered.add(service)
    result[container] = entry


def _published_ports(section: Section) -> Iterator[_WantedPort]:
    raw = section.take("ports")
    for index, item in enumerate(raw if isinstance(raw, list) else [] if raw is None else [raw]):
        key = f"ports[{index}]"
        if item is None or is_blank(item):
            continue
        if isinstance(item, dict):
            port: ShortPort | None = _read_long_port(Section(item, section.reporter, key))
        else:
            port = parse_short_port(as_text(item))
        entries = _expand_range(key, port, section) if port else None
        if entries is not None:
            yield from entries
        elif not _is_unresolved(item):  # variables without a value are reported where they are replaced
            section.reporter.problem(key, "the value is not a port", _PORT_EXAMPLES)


def _read_long_port(port: Section) -> ShortPort:
    mode = port.take("mode")
    if mode == "host":
        message = "pods do not use ports of their node"
        port.reporter.dropped(port.key("mode"), message, "Reach the instance by its Service or by a domain")
    elif mode is not None:
        port.reporter.note(port.key("mode"), "the Service has the same effect")
    if (name := port.take("name")) is not None:
        port.reporter.note(port.key("name"), f"ports have no names; this one was named {as_text(name)}")
    port.drop("app_protocol", "ports have no application protocol", "Remove it")
    fields = (port.take(name) for name in ("target", "published", "host_ip", "protocol"))
    target, published, host_ip, protocol = (None if value is None else as_text(value) for value in fields)
    port.close()
    return ShortPort(target or "", published or None, host_ip or None, protocol or None)


def _exposed_ports(section: Section) -> Iterator[_WantedPort]:
    raw = section.take("expose")
    for item in raw if isinstance(raw, list) else [] if raw is None else [raw]:
        if item is None or is_blank(item):
            continue
        port = parse_short_port(as_text(item))
        entries = _expand_range("expose", ShortPort(port.target, protocol=port.protocol), section) if port else None
        if entries is None:
            section.reporter.problem("expose", "the value is not a port", _EXPOSE_EXAMPLES)
        yield from entries or ()


def _expand_range(key: str, port: ShortPort, section: Section) -> list[_WantedPort] | None:
    """Return a port, or all ports of a range, or None if the value is not a port."""
    if port.published == "0":  # any free port
        port = replace(port, published=None)
    target, published = parse_port_range(port.target), parse_port_range(port.published) if port.published else None
    protocol = _parse_protocol(port.protocol)
    if target is None or protocol is None or (port.published and published is None):
        return None
    if published is not None and len(published) != len(target) and len(target) > 1:
        return None
    if port.host_ip and not _is_ip_address(port.host_ip):
        return None
    if len(target) > MAX_PORTS:
        message = f"the range has {len(target)} ports, and an instance can have at most {MAX_PORTS}"
        section.reporter.dropped(key, message, _MANY_PORTS_ADVICE)
        return []
    if published is not None and len(published) > len(target):
        message = f"of the range of published ports, only the first one is used ({published[0]})"
        section.reporter.changed(key, message)
    return [
        _WantedPort(
            key,
            PortEntry(
                container_port=number,
                protocol=protocol,
                host_port=None if published is None else published[index],
                host_ip=port.host_ip,
            ),
        )
        for index, number in enumerate(target)
    ]


def _is_unresolved(item: Any) -> bool:
    """Whether a port contains a variable without a value."""
    values = item.values() if isinstance(item, dict) else [item]
    return any(unresolved_variables(value) for value in values)


def _parse_protocol(text: Any) -> PortProtocol | None:
    try:
        return PortProtocol((text or "tcp").upper())
    except ValueError:
        return None


def _is_ip_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
