"""`ports` and `expose` → ports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from hopper.api.enums import PortProtocol
from hopper.api.service import DomainEntry, PortEntry
from hopper.compose.reading.syntax import ShortPort, port_range, split_port
from hopper.compose.reading.text import as_text, is_blank, unresolved_in
from hopper.compose.section import Section

MAX_PORTS = 64
_FORM = 'write it as in "8080:80", "127.0.0.1:8080:80/udp" or "3000-3005:3000-3005"'


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A port as the file has it, and where it stands there."""

    key: str
    entry: PortEntry


def convert_ports(section: Section, domains: Sequence[DomainEntry] = ()) -> tuple[PortEntry, ...]:
    """Return the ports. `expose` adds those that are not published, and domains the ports behind them."""
    wanted = [*_published(section), *_exposed(section)]
    behind = {domain.proxy_port for domain in domains if domain.proxy_port is not None}
    wanted += [_Wanted("expose", PortEntry(container_port=port)) for port in sorted(behind)]
    result: dict[tuple[int, PortProtocol], PortEntry] = {}
    offered: set[tuple[int, PortProtocol]] = set()
    for item in wanted:
        _add(item, result, offered, section)
    return tuple(result.values())


def _add(
    item: _Wanted,
    result: dict[tuple[int, PortProtocol], PortEntry],
    offered: set[tuple[int, PortProtocol]],
    section: Section,
) -> None:
    """Add a port where it and the port that the Service offers for it are free; report it otherwise."""
    entry = item.entry
    inside = (entry.container_port, entry.protocol)
    if inside in result:
        if item.key != "expose" and entry.host_port != result[inside].host_port:
            advice = "Keep one of them, or reach the instance by the other one"
            section.about.dropped(item.key, f"port {inside[0]} is published twice, and the first one wins", advice)
        return
    if len(result) >= MAX_PORTS:
        advice = "A Service names each port: reach instances with many ports by a load balancer of your own"
        key = item.key.partition("[")[0]  # once for all of them, however many there are
        section.about.dropped(key, f"there are more than {MAX_PORTS} ports, and the first ones are offered", advice)
        return
    outside = (entry.host_port or entry.container_port, entry.protocol)
    if outside in offered and entry.host_port and inside not in offered:
        section.about.changed(item.key, f"port {entry.host_port} is taken, so that the Service offers {inside[0]}")
        entry, outside = replace(entry, host_port=None), inside
    if outside in offered:
        section.about.dropped(item.key, f"the Service offers port {outside[0]} already", "Publish it as another port")
        return
    offered.add(outside)
    result[inside] = entry


def _published(section: Section) -> Iterator[_Wanted]:
    raw = section.take("ports")
    for index, item in enumerate(raw if isinstance(raw, list) else [] if raw is None else [raw]):
        key = f"ports[{index}]"
        if item is None or is_blank(item):
            continue
        port = _long(Section(item, section.about, key)) if isinstance(item, dict) else split_port(as_text(item))
        found = _entries(key, port, section) if port else None
        if found is not None:
            yield from found
        elif not _is_unresolved(item):  # which is reported already
            section.about.problem(key, "this is no port", _FORM)


def _long(section: Section) -> ShortPort:
    mode = section.take("mode")
    if mode == "host":
        advice = "Pods do not take ports of a node; the Service or a domain makes the instance reachable"
        section.about.dropped(section.key("mode"), "ports are offered by a Service", advice)
    elif mode is not None:
        section.about.note(section.key("mode"), "the Service does what this mode does")
    if (name := section.take("name")) is not None:
        section.about.note(section.key("name"), f"ports have no names; this one was called {as_text(name)}")
    section.drop("app_protocol", "ports carry no protocol of the application", "Leave it out")
    fields = (section.take(field) for field in ("target", "published", "host_ip", "protocol"))
    target, published, host_ip, protocol = (None if value is None else as_text(value) for value in fields)
    section.close()
    return ShortPort(target or "", published or None, host_ip or None, protocol or None)


def _exposed(section: Section) -> Iterator[_Wanted]:
    raw = section.take("expose")
    for item in raw if isinstance(raw, list) else [] if raw is None else [raw]:
        if item is None or is_blank(item):
            continue
        port = split_port(as_text(item))
        found = _entries("expose", ShortPort(port.target, protocol=port.protocol), section) if port else None
        if found is None:
            section.about.problem("expose", "this is no port", 'write it as in "3000" or "3000-3005/udp"')
        yield from found or ()


def _entries(key: str, port: ShortPort, section: Section) -> list[_Wanted] | None:
    """Return a port, or all ports of a range; None where it is not one."""
    if port.published == "0":  # any port that is free
        port = replace(port, published=None)
    inside, outside = port_range(port.target), port_range(port.published) if port.published else None
    protocol = _protocol(port.protocol)
    if inside is None or protocol is None or (port.published and outside is None):
        return None
    if outside is not None and len(outside) != len(inside) and len(inside) > 1:
        return None
    if port.host_ip and not _is_address(port.host_ip):
        return None
    if len(inside) > MAX_PORTS:
        advice = "A Service names each port: reach instances with many ports by a load balancer of your own"
        section.about.dropped(key, f"{len(inside)} ports are more than an instance can have ({MAX_PORTS})", advice)
        return []
    if outside is not None and len(outside) > len(inside):
        section.about.changed(key, f"of the range of published ports, the first one ({outside[0]}) is offered")
    return [
        _Wanted(
            key,
            PortEntry(
                container_port=number,
                protocol=protocol,
                host_port=None if outside is None else outside[index],
                host_ip=port.host_ip,
            ),
        )
        for index, number in enumerate(inside)
    ]


def _is_unresolved(item: Any) -> bool:
    values = item.values() if isinstance(item, dict) else [item]
    return any(unresolved_in(value) for value in values)


def _protocol(text: Any) -> PortProtocol | None:
    try:
        return PortProtocol((text or "tcp").upper())
    except ValueError:
        return None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
