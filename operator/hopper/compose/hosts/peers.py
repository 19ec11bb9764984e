"""What the services of a project are called by each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from hopper.compose.project import Project
from hopper.compose.reading.text import as_text

_PRIVATE_DOMAINS = frozenset({"internal", "local", "localdomain", "localhost", "lan", "home", "intranet", "private"})


def names_in(project: Project) -> dict[str, str]:
    """Return by which names the services of a project reach others, and the object names of those.

    That are the names of services, what their containers are called, and names given in networks. A name that several
    services share says nothing.
    """
    others: dict[str, set[str]] = {}
    for other, raw in project.services.items():
        for alias in _aliases(raw):
            others.setdefault(alias, set()).add(project.names[other])
    by_alias = {alias: next(iter(found)) for alias, found in others.items() if len(found) == 1}
    return {**project.other_names, **by_alias, **project.names}


def links_of(service: str, project: Project) -> dict[str, str]:
    """Return the names that a service alone has for others, by its links."""
    links = _links(project.services[service])
    return {alias: project.names[other] for other, alias in links if other in project.names}


def _aliases(raw: Mapping[str, Any]) -> Iterator[str]:
    for key in ("container_name", "hostname"):
        name = as_text(raw.get(key))
        if name and not (key == "hostname" and _is_public(name)):
            yield name
    networks = raw.get("networks")
    for details in networks.values() if isinstance(networks, dict) else ():
        aliases = details.get("aliases") if isinstance(details, dict) else None
        yield from (as_text(alias) for alias in aliases or () if isinstance(alias, str) and alias)


def _is_public(name: str) -> bool:
    """Tell whether a host name is one under which the world knows the service, as `gitlab.example.com`."""
    domain, _, last = name.rpartition(".")
    return bool(domain) and last.lower() not in _PRIVATE_DOMAINS


def _links(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    links = raw.get("links")
    for item in links if isinstance(links, list) else ():
        name, _, alias = as_text(item).partition(":")
        if alias:
            yield name, alias
