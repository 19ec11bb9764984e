"""Host names that reverse proxies read from labels and variables: Traefik, caddy-docker-proxy, nginx-proxy."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_ROUTER_RULE = re.compile(r"traefik\.(?:http|tcp)\.routers\.([^.]+)\.rule", re.IGNORECASE)
_SERVICE_PORT = re.compile(r"traefik\.(?:http|tcp)\.services\.([^.]+)\.loadbalancer\.server\.port", re.IGNORECASE)
_OLD_RULE = re.compile(r"traefik(?:\.[^.]+)?\.frontend\.rule", re.IGNORECASE)
_OLD_PORT = "traefik.port"
_MATCHER = re.compile(r"(!?)\s{0,8}\b(\w{1,40})\(([^()]*)\)")
_HOST_MATCHERS = frozenset({"host", "hostsni"})
_CADDY = re.compile(r"caddy(_\d+)?")
_UPSTREAMS = re.compile(r"\{\{\s*upstreams(?:\s+https?)?\s+(\d+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Host:
    """A host name, the port behind it if one is named, and the key that it was found under."""

    key: str
    name: str
    port: int | None = None


@dataclass(slots=True)
class Hosts:
    """What was found. `understood` are labels that are used up; the other two list keys of rules.

    `incomplete` rules ask for more than a host, `hostless` ones for none.
    """

    found: list[Host] = field(default_factory=list)
    understood: set[str] = field(default_factory=set)
    incomplete: list[str] = field(default_factory=list)
    hostless: list[str] = field(default_factory=list)


def find_hosts(labels: Mapping[str, str], variables: Mapping[str, str]) -> Hosts:
    """Return the host names that labels and variables ask for."""
    hosts = Hosts()
    if labels.get("traefik.enable", "").strip().lower() != "false":
        _traefik(labels, hosts)
        _old_traefik(labels, hosts)
    _caddy(labels, hosts)
    port = _port(variables.get("VIRTUAL_PORT"))
    for name in _listed(variables.get("VIRTUAL_HOST", "")):
        hosts.found.append(Host("environment.VIRTUAL_HOST", name.partition(":")[0], port))
    return hosts


def _traefik(labels: Mapping[str, str], hosts: Hosts) -> None:
    ports: dict[str, int] = {}
    keys: dict[str, str] = {}
    for label, value in labels.items():
        if (match := _SERVICE_PORT.fullmatch(label)) and (port := _port(value)):
            ports[match[1]], keys[match[1]] = port, label
    only = next(iter(ports), None) if len(ports) == 1 else None
    for label, rule in labels.items():
        if not (match := _ROUTER_RULE.fullmatch(label)):
            continue
        prefix = label[: -len("rule")]
        service = labels.get(f"{prefix}service") or (match[1] if match[1] in ports else only)
        names = list(_hosts_of_rule(label, rule, hosts))
        hosts.found += [Host(f"labels.{label}", name, ports.get(service or "")) for name in names]
        hosts.understood.add(label)
        if names and service in keys:
            hosts.understood.add(keys[service])


def _hosts_of_rule(label: str, rule: str, hosts: Hosts) -> Iterator[str]:
    """Yield the hosts of a rule such as ``Host(`a.example`) && PathPrefix(`/x`)``."""
    names: list[str] = []
    for negation, matcher, arguments in _MATCHER.findall(rule):
        if matcher.lower() in _HOST_MATCHERS and not negation:
            names += [name for name in re.split(r"[\s,`'\"]+", arguments) if name and name != "*"]
    rest = _MATCHER.sub(lambda match: "" if match[2].lower() in _HOST_MATCHERS and not match[1] else "x", rule)
    if not names:
        hosts.hostless.append(f"labels.{label}")
    elif rest.replace("||", "").strip(" ()\n"):
        hosts.incomplete.append(f"labels.{label}")
    yield from names


def _old_traefik(labels: Mapping[str, str], hosts: Hosts) -> None:
    """Read labels of Traefik 1: `Host:a.example,b.example;PathPrefix:/x`."""
    for label, rule in labels.items():
        if not _OLD_RULE.fullmatch(label):
            continue
        parts = [part.partition(":") for part in rule.split(";")]
        names = [name for matcher, _, text in parts if matcher.strip().lower() == "host" for name in _listed(text)]
        hosts.found += [Host(f"labels.{label}", name, _port(labels.get(_OLD_PORT))) for name in names]
        hosts.understood.add(label)
        if not names:
            hosts.hostless.append(f"labels.{label}")
            continue
        if _port(labels.get(_OLD_PORT)):
            hosts.understood.add(_OLD_PORT)
        if any(matcher.strip().lower() != "host" for matcher, _, text in parts if text):
            hosts.incomplete.append(f"labels.{label}")


def _caddy(labels: Mapping[str, str], hosts: Hosts) -> None:
    for label, value in labels.items():
        if not _CADDY.fullmatch(label):
            continue
        names = [re.sub(r"^https?://", "", name).partition(":")[0].partition("/")[0] for name in _listed(value)]
        upstream = labels.get(f"{label}.reverse_proxy", "")
        match = _UPSTREAMS.search(upstream)
        hosts.found += [Host(f"labels.{label}", name, _port(match[1] if match else None)) for name in names if name]
        if any(names):
            hosts.understood.add(label)
            if _UPSTREAMS.fullmatch(upstream.strip()) or upstream.strip() == "{{upstreams}}":
                hosts.understood.add(f"{label}.reverse_proxy")


def _listed(text: str) -> Iterable[str]:
    return [part for part in re.split(r"[\s,]+", text) if part]


def _port(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"\d{1,5}", text) and 1 <= int(text) <= 65535 else None
