"""What is wrong with ports and domains."""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from hopper.api.enums import PortProtocol
from hopper.api.service import DomainEntry
from hopper.domain.service.merge import EffectiveService
from hopper.domain.service.problem import ServiceProblem

_HOST = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")
_MAX_HOST = 253


def port_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    offered: dict[tuple[int, PortProtocol], str] = {}
    for port in effective.spec.ports:
        path = f"ports[{port.container_port}/{port.protocol}]"
        number = port.host_port or port.container_port
        other = offered.setdefault((number, port.protocol), path)
        if other != path:
            message = f"would be offered as port {number}, as {other} is: give one of them another hostPort"
            yield ServiceProblem(f"{path}.hostPort", message, effective.origin(path))
        if port.host_ip is not None and not _is_address(port.host_ip):
            yield ServiceProblem(f"{path}.hostIP", "is not an IP address: correct or remove it", effective.origin(path))


def domain_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    reachable = [port.container_port for port in effective.spec.ports if port.protocol is PortProtocol.TCP]
    for domain in effective.spec.domains:
        path = f"domains[{domain.domain}]"
        origin = effective.origin(path)
        if wrong := _wrong_host(domain):
            yield ServiceProblem(path, wrong, origin)
        if not reachable:
            yield ServiceProblem(path, "leads nowhere, as there is no TCP port: add one to ports", origin)
        elif domain.proxy_port not in (None, *reachable):
            known = ", ".join(map(str, reachable))
            message = f"{domain.proxy_port} is not among the container's TCP ports: use one of {known}, or add it"
            yield ServiceProblem(f"{path}.proxyPort", message, origin)


def _wrong_host(domain: DomainEntry) -> str | None:
    if _is_address(domain.domain):
        return "is an address, and an Ingress takes host names only: use a name, or reach the Service by its port"
    if not _HOST.fullmatch(domain.domain) or len(domain.domain) > _MAX_HOST:
        return "is not a host name: use lower-case letters, digits and -, in parts of up to 63 joined by dots"
    return None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
