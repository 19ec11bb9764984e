"""Problems of ports, domains and labels."""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from hopper.api.enums import PortProtocol
from hopper.api.names import GROUP, OWN_LABELS
from hopper.api.service import DomainEntry
from hopper.domain.service.merge import EffectiveService, ServiceProblem

_HOST = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")
_MAX_HOST = 253

_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")
_MAX_LABEL_PREFIX = 253
# Label prefixes that Hopper and Kubernetes use. Labels below the application prefix are free unless Hopper sets them.
_RESERVED_PREFIXES = (GROUP, "kubernetes.io", "k8s.io")
_APPLICATION_PREFIX = "app.kubernetes.io"
# Set by the controllers of Deployments, StatefulSets and DaemonSets to recognise their pods.
_CONTROLLER_LABELS = frozenset({"pod-template-hash", "controller-revision-hash", "pod-template-generation"})


def port_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    """Yield the problems of ports."""
    by_service_port: dict[tuple[int, PortProtocol], str] = {}
    for port in effective.spec.ports:
        path = f"ports[{port.container_port}/{port.protocol}]"
        number = port.host_port or port.container_port
        other = by_service_port.setdefault((number, port.protocol), path)
        if other != path:
            message = f"is {number}, the same Service port as {other}: set another hostPort on one of them"
            yield ServiceProblem(f"{path}.hostPort", message, effective.origin(path))
        if port.host_ip is not None and not _is_address(port.host_ip):
            yield ServiceProblem(f"{path}.hostIP", "is not an IP address: correct or remove it", effective.origin(path))


def domain_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    """Yield the problems of domains."""
    tcp_ports = [port.container_port for port in effective.spec.ports if port.protocol is PortProtocol.TCP]
    for domain in effective.spec.domains:
        path = f"domains[{domain.domain}]"
        origin = effective.origin(path)
        if error := _host_error(domain):
            yield ServiceProblem(path, error, origin)
        if not tcp_ports:
            yield ServiceProblem(path, "has no TCP port to forward to: add one to ports", origin)
        elif domain.proxy_port not in (None, *tcp_ports):
            ports = ", ".join(map(str, tcp_ports))
            message = (
                f"is {domain.proxy_port}, which is no TCP port of the container: use one of {ports}, or add it to ports"
            )
            yield ServiceProblem(f"{path}.proxyPort", message, origin)


def _host_error(domain: DomainEntry) -> str | None:
    if _is_address(domain.domain):
        return "is an IP address, which an Ingress does not accept: use a host name, or connect to the Service port"
    if not _HOST.fullmatch(domain.domain) or len(domain.domain) > _MAX_HOST:
        return "is not a host name: use lower-case letters, digits and -, in parts of up to 63 joined by dots"
    return None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def label_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    """Yield the problems of labels: invalid names, and names reserved for Hopper or Kubernetes."""
    for label in effective.spec.labels:
        path = f"labels[{label.name}]"
        if error := _label_name_error(label.name) or _reserved_label_error(label.name):
            yield ServiceProblem(f"{path}.name", error, effective.origin(path))


def _label_name_error(name: str) -> str | None:
    prefix, slash, rest = name.rpartition("/")
    is_prefix = _LABEL_PREFIX.fullmatch(prefix) and len(prefix) <= _MAX_LABEL_PREFIX
    if _LABEL_NAME.fullmatch(rest) and (not slash or is_prefix):
        return None
    return "is not a valid label name: use up to 63 letters, digits, -, _ and ., optionally after a DNS prefix and /"


def _reserved_label_error(name: str) -> str | None:
    prefix = name.rpartition("/")[0]
    if name in OWN_LABELS or name in _CONTROLLER_LABELS:
        return "is set by the operator or by Kubernetes to select pods: use another name"
    if prefix == _APPLICATION_PREFIX:
        return None
    owner = next((domain for domain in _RESERVED_PREFIXES if prefix == domain or prefix.endswith(f".{domain}")), None)
    return f"has the reserved prefix {owner}/: use another name" if owner else None
