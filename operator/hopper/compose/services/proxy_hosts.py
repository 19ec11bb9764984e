"""Host names in the labels and variables that reverse proxies read: Traefik, caddy-docker-proxy and nginx-proxy."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_ROUTER_RULE = re.compile(r"traefik\.(?:http|tcp)\.routers\.([^.]+)\.rule", re.IGNORECASE)
_SERVICE_PORT = re.compile(r"traefik\.(?:http|tcp)\.services\.([^.]+)\.loadbalancer\.server\.port", re.IGNORECASE)
_TRAEFIK_1_RULE = re.compile(r"traefik(?:\.[^.]+)?\.frontend\.rule", re.IGNORECASE)
_TRAEFIK_1_PORT = "traefik.port"
_MATCHER = re.compile(r"(!?)\s{0,8}\b(\w{1,40})\(([^()]*)\)")
_HOST_MATCHERS = frozenset({"host", "hostsni"})
_CADDY_SITE = re.compile(r"caddy(_\d+)?")
_CADDY_UPSTREAMS = re.compile(r"\{\{\s*upstreams(?:\s+https?)?\s+(\d+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class ProxyHost:
    """A host name of a service, the key it was found under, and the port behind it if there is one."""

    key: str
    name: str
    port: int | None = None


@dataclass(slots=True)
class ProxyHosts:
    """The host names of a service, and the labels that were read to find them.

    Attributes:
        hosts: The host names.
        used_labels: Labels that need not be carried over, because `hosts` has all of their content.
        rules_with_conditions: Keys of rules that contain conditions other than host names.
        rules_without_host: Keys of rules that contain no host name.
    """

    hosts: list[ProxyHost] = field(default_factory=list)
    used_labels: set[str] = field(default_factory=set)
    rules_with_conditions: list[str] = field(default_factory=list)
    rules_without_host: list[str] = field(default_factory=list)


def find_proxy_hosts(labels: Mapping[str, str], variables: Mapping[str, str]) -> ProxyHosts:
    """Return the host names in labels and variables."""
    proxy_hosts = ProxyHosts()
    if labels.get("traefik.enable", "").strip().lower() != "false":
        _read_traefik(labels, proxy_hosts)
        _read_traefik_1(labels, proxy_hosts)
    _read_caddy(labels, proxy_hosts)
    port = _parse_port(variables.get("VIRTUAL_PORT"))
    for name in _split_list(variables.get("VIRTUAL_HOST", "")):
        proxy_hosts.hosts.append(ProxyHost("environment.VIRTUAL_HOST", name.partition(":")[0], port))
    return proxy_hosts


def _read_traefik(labels: Mapping[str, str], proxy_hosts: ProxyHosts) -> None:
    ports: dict[str, int] = {}
    port_labels: dict[str, str] = {}
    for label, value in labels.items():
        if (match := _SERVICE_PORT.fullmatch(label)) and (port := _parse_port(value)):
            ports[match[1]], port_labels[match[1]] = port, label
    only_service = next(iter(ports), None) if len(ports) == 1 else None
    for label, rule in labels.items():
        if not (match := _ROUTER_RULE.fullmatch(label)):
            continue
        prefix = label[: -len("rule")]
        service = labels.get(f"{prefix}service") or (match[1] if match[1] in ports else only_service)
        names = list(_read_rule(label, rule, proxy_hosts))
        proxy_hosts.hosts += [ProxyHost(f"labels.{label}", name, ports.get(service or "")) for name in names]
        proxy_hosts.used_labels.add(label)
        if names and service in port_labels:
            proxy_hosts.used_labels.add(port_labels[service])


def _read_rule(label: str, rule: str, proxy_hosts: ProxyHosts) -> Iterator[str]:
    """Yield the hosts of a Traefik rule such as ``Host(`a.example`) && PathPrefix(`/x`)``."""
    names: list[str] = []
    for negation, matcher, arguments in _MATCHER.findall(rule):
        if matcher.lower() in _HOST_MATCHERS and not negation:
            names += [name for name in re.split(r"[\s,`'\"]+", arguments) if name and name != "*"]
    rest = _MATCHER.sub(lambda match: "" if match[2].lower() in _HOST_MATCHERS and not match[1] else "x", rule)
    if not names:
        proxy_hosts.rules_without_host.append(f"labels.{label}")
    elif rest.replace("||", "").strip(" ()\n"):
        proxy_hosts.rules_with_conditions.append(f"labels.{label}")
    yield from names


def _read_traefik_1(labels: Mapping[str, str], proxy_hosts: ProxyHosts) -> None:
    """Read the labels of Traefik 1, such as `Host:a.example,b.example;PathPrefix:/x`."""
    port = _parse_port(labels.get(_TRAEFIK_1_PORT))
    for label, rule in labels.items():
        if not _TRAEFIK_1_RULE.fullmatch(label):
            continue
        parts = [part.partition(":") for part in rule.split(";")]
        names = [name for matcher, _, text in parts if matcher.strip().lower() == "host" for name in _split_list(text)]
        proxy_hosts.hosts += [ProxyHost(f"labels.{label}", name, port) for name in names]
        proxy_hosts.used_labels.add(label)
        if not names:
            proxy_hosts.rules_without_host.append(f"labels.{label}")
            continue
        if port:
            proxy_hosts.used_labels.add(_TRAEFIK_1_PORT)
        if any(matcher.strip().lower() != "host" for matcher, _, text in parts if text):
            proxy_hosts.rules_with_conditions.append(f"labels.{label}")


def _read_caddy(labels: Mapping[str, str], proxy_hosts: ProxyHosts) -> None:
    for label, value in labels.items():
        if not _CADDY_SITE.fullmatch(label):
            continue
        names = [re.sub(r"^https?://", "", name).partition(":")[0].partition("/")[0] for name in _split_list(value)]
        upstream = labels.get(f"{label}.reverse_proxy", "")
        match = _CADDY_UPSTREAMS.search(upstream)
        port = _parse_port(match[1] if match else None)
        proxy_hosts.hosts += [ProxyHost(f"labels.{label}", name, port) for name in names if name]
        if any(names):
            proxy_hosts.used_labels.add(label)
            if _CADDY_UPSTREAMS.fullmatch(upstream.strip()) or upstream.strip() == "{{upstreams}}":
                proxy_hosts.used_labels.add(f"{label}.reverse_proxy")


def _split_list(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,]+", text) if part]


def _parse_port(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"\d{1,5}", text) and 1 <= int(text) <= 65535 else None
