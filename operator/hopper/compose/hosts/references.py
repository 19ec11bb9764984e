"""Where services name each other as hosts: in variables, commands, healthchecks and config files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from hopper.compose.hosts.mentions import Mention, find_in_command, find_mentions, says_where_to_listen
from hopper.compose.hosts.peers import links_of, names_in
from hopper.compose.project import Project
from hopper.compose.services.service import ConvertedService


class Kind(Enum):
    """What sort of place a reference stands in."""

    VARIABLE = auto()
    SECRET = auto()
    ENTRYPOINT = auto()
    COMMAND = auto()
    HEALTHCHECK = auto()
    FILE = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """A text of a service: a variable by its name, a word of a command by its number, a file by its path."""

    kind: Kind
    of: str | int

    def __str__(self) -> str:
        """What the report calls it."""
        match self.kind:
            case Kind.VARIABLE | Kind.SECRET:
                return f"environment.{self.of}"
            case Kind.FILE:
                return f"configFiles[{self.of}]"
            case Kind.HEALTHCHECK:
                return "healthcheck.test"
            case _:
                return self.kind.name.lower()


@dataclass(frozen=True, slots=True)
class Reference:
    """A service (by its object's name) names another one, or itself, as a host."""

    service: str
    place: Place
    mention: Mention
    other: str

    @property
    def is_own(self) -> bool:
        return self.service == self.other


def find_references(projects: Sequence[Project], services: Sequence[ConvertedService]) -> list[Reference]:
    """Return all references, in the order of the services."""
    by_name = {service.name: service for service in services}
    ports = {name: {port.container_port for port in service.spec.ports} for name, service in by_name.items()}
    found: list[Reference] = []
    for project in projects:
        names = names_in(project)
        of_all = {alias: ports.get(other, set()) for alias, other in names.items()}
        for name in project.services:
            service, links = by_name.get(project.names[name]), links_of(name, project)
            if service is not None:
                known = {**names, **links} if links else names
                of_names = {**of_all, **{alias: ports.get(other, set()) for alias, other in links.items()}}
                found += (
                    Reference(service.name, place, mention, known[mention.name])
                    for place, mention in _mentions(service, of_names)
                    if not (known[mention.name] == service.name and _calls_itself(place, mention))
                )
    return found


def _calls_itself(place: Place, mention: Mention) -> bool:
    """Tell whether a service's own name is no host, but what it calls itself: where it stands alone."""
    return mention.alone and not says_where_to_listen(str(place.of))


def _mentions(service: ConvertedService, ports: Mapping[str, set[int]]) -> Iterator[tuple[Place, Mention]]:
    spec = service.spec
    for name, (kind, value) in texts_of_variables(service).items():
        yield from ((Place(kind, name), mention) for mention in find_mentions(name, value, ports))
    for kind, words in ((Kind.ENTRYPOINT, spec.command), (Kind.COMMAND, spec.args)):
        yield from ((Place(kind, number), mention) for number, mention in find_in_command(words or (), ports))
    for number, mention in find_in_command(spec.healthcheck.test if spec.healthcheck else (), ports):
        yield Place(Kind.HEALTHCHECK, number), mention
    for path, text in texts_of_files(service).items():
        yield from ((Place(Kind.FILE, path), mention) for mention in find_mentions("", text, ports))


def texts_of_variables(service: ConvertedService) -> dict[str, tuple[Kind, str]]:
    """Return the values of the variables, those in the service's own Secret included."""
    texts: dict[str, tuple[Kind, str]] = {}
    for entry in service.spec.env:
        ref = entry.value_from.secret_key_ref if entry.value_from else None
        if entry.value is not None:
            texts[entry.name] = Kind.VARIABLE, entry.value
        elif ref is not None and ref.name == service.secret_name and ref.key in service.secrets:
            texts[entry.name] = Kind.SECRET, service.secrets[ref.key]
    return texts


def texts_of_files(service: ConvertedService) -> dict[str, str]:
    """Return the contents of the files by their paths, those in the service's own Secret included."""
    texts: dict[str, str] = {}
    for file in service.spec.config_files:
        ref = file.content_from.secret_key_ref if file.content_from else None
        own = service.secrets.get(ref.key, "") if ref is not None and ref.name == service.secret_name else ""
        texts[file.path] = own or file.content
    return texts
