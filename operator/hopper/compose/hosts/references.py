"""Places where services refer to each other as hosts: variables, commands, healthchecks and config files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from hopper.compose.hosts.mentions import HostMention, find_mentions, find_mentions_in_words, is_listen_setting
from hopper.compose.project import ComposeProject
from hopper.compose.reading.tracked_text import as_text
from hopper.compose.services.service import ConvertedService

_PRIVATE_DOMAINS = frozenset({"internal", "local", "localdomain", "localhost", "lan", "home", "intranet", "private"})


class LocationKind(Enum):
    """Kind of a text that contains a host name."""

    VARIABLE = auto()
    SECRET = auto()
    ENTRYPOINT = auto()
    COMMAND = auto()
    HEALTHCHECK = auto()
    FILE = auto()


@dataclass(frozen=True, slots=True)
class ReferenceLocation:
    """A text of a service. `key` is the name of a variable, the path of a file, or the index of a word."""

    kind: LocationKind
    key: str | int

    def __str__(self) -> str:
        """Return the key for the report."""
        match self.kind:
            case LocationKind.VARIABLE | LocationKind.SECRET:
                return f"environment.{self.key}"
            case LocationKind.FILE:
                return f"configFiles[{self.key}]"
            case LocationKind.HEALTHCHECK:
                return "healthcheck.test"
            case _:
                return self.kind.name.lower()


@dataclass(frozen=True, slots=True)
class HostReference:
    """A reference from one service to another one, or to itself. `service` and `target` are object names."""

    service: str
    location: ReferenceLocation
    mention: HostMention
    target: str

    @property
    def is_self_reference(self) -> bool:
        return self.service == self.target


def find_references(projects: Sequence[ComposeProject], services: Sequence[ConvertedService]) -> list[HostReference]:
    """Return all references, in the order of the services."""
    by_name = {service.name: service for service in services}
    ports = {name: {port.container_port for port in service.spec.ports} for name, service in by_name.items()}
    found: list[HostReference] = []
    for project in projects:
        hosts = _find_hosts(project)
        for name in project.services:
            service = by_name.get(project.names[name])
            if service is not None:
                targets = {**hosts, **_find_link_aliases(name, project)}
                host_ports = {host: ports.get(target, set()) for host, target in targets.items()}
                found += (
                    HostReference(service.name, location, mention, targets[mention.name])
                    for location, mention in _find_service_mentions(service, host_ports)
                    if not (targets[mention.name] == service.name and _is_own_label(location, mention))
                )
    return found


def variable_texts(service: ConvertedService) -> dict[str, tuple[LocationKind, str]]:
    """Return the values of the variables, including those in the Secret of the service."""
    texts: dict[str, tuple[LocationKind, str]] = {}
    for entry in service.spec.env:
        ref = entry.value_from.secret_key_ref if entry.value_from else None
        if entry.value is not None:
            texts[entry.name] = LocationKind.VARIABLE, entry.value
        elif ref is not None and ref.name == service.secret_name and ref.key in service.secrets:
            texts[entry.name] = LocationKind.SECRET, service.secrets[ref.key]
    return texts


def config_file_texts(service: ConvertedService) -> dict[str, str]:
    """Return the contents of the config files by path, including those in the Secret of the service."""
    texts: dict[str, str] = {}
    for file in service.spec.config_files:
        ref = file.content_from.secret_key_ref if file.content_from else None
        secret = service.secrets.get(ref.key, "") if ref is not None and ref.name == service.secret_name else ""
        texts[file.path] = secret or file.content
    return texts


def _is_own_label(location: ReferenceLocation, mention: HostMention) -> bool:
    """Whether the own name of a service is a label and not an address, because the text contains nothing else."""
    return mention.is_whole_text and not is_listen_setting(str(location.key))


def _find_service_mentions(
    service: ConvertedService, ports: Mapping[str, set[int]]
) -> Iterator[tuple[ReferenceLocation, HostMention]]:
    spec = service.spec
    for name, (kind, value) in variable_texts(service).items():
        for mention in find_mentions(name, value, ports):
            yield ReferenceLocation(kind, name), mention
    test = spec.healthcheck.test if spec.healthcheck else ()
    for kind, words in (
        (LocationKind.ENTRYPOINT, spec.command),
        (LocationKind.COMMAND, spec.args),
        (LocationKind.HEALTHCHECK, test),
    ):
        for index, mention in find_mentions_in_words(words or (), ports):
            yield ReferenceLocation(kind, index), mention
    for path, text in config_file_texts(service).items():
        for mention in find_mentions("", text, ports):
            yield ReferenceLocation(LocationKind.FILE, path), mention


def _find_hosts(project: ComposeProject) -> dict[str, str]:
    """Return the object names of services by the host names under which a project knows them.

    Host names are the names of services, of containers, and aliases in networks. A name that several services share
    is ambiguous, and left out.
    """
    targets: dict[str, set[str]] = {}
    for service, raw in project.services.items():
        for alias in _find_aliases(raw):
            targets.setdefault(alias, set()).add(project.names[service])
    unique = {alias: next(iter(found)) for alias, found in targets.items() if len(found) == 1}
    return {**project.other_names, **unique, **project.names}


def _find_aliases(raw: Mapping[str, Any]) -> Iterator[str]:
    for key in ("container_name", "hostname"):
        name = as_text(raw.get(key))
        if name and not (key == "hostname" and _is_public(name)):
            yield name
    networks = raw.get("networks")
    for details in networks.values() if isinstance(networks, dict) else ():
        aliases = details.get("aliases") if isinstance(details, dict) else None
        yield from (as_text(alias) for alias in aliases or () if isinstance(alias, str) and alias)


def _is_public(name: str) -> bool:
    """Whether a host name is a public DNS name of the service, such as `gitlab.example.com`."""
    domain, _, last = name.rpartition(".")
    return bool(domain) and last.lower() not in _PRIVATE_DOMAINS


def _find_link_aliases(service: str, project: ComposeProject) -> dict[str, str]:
    """Return the object names of services by the aliases in `links`, which only this service knows."""
    links = project.services[service].get("links")
    result = {}
    for item in links if isinstance(links, list) else ():
        name, _, alias = as_text(item).partition(":")
        if alias and name in project.names:
            result[alias] = project.names[name]
    return result
