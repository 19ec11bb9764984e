"""What the services of a project are called by each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from hopper.compose.project import Project
from hopper.compose.reading.text import as_text


def known_to(service: str, project: Project) -> dict[str, str]:
    """Return by which names a service can reach others, and the object names of those.

    That are the names of services, what their containers are called, and names given in networks and links. A name that
    several services share says nothing.
    """
    others: dict[str, set[str]] = {}
    for other, raw in project.services.items():
        for alias in _aliases(raw):
            others.setdefault(alias, set()).add(project.names[other])
    by_alias = {alias: next(iter(found)) for alias, found in others.items() if len(found) == 1}
    links = {
        alias: project.names[other] for other, alias in _links(project.services[service]) if other in project.names
    }
    return {**project.other_names, **by_alias, **project.names, **links}


def _aliases(raw: Mapping[str, Any]) -> Iterator[str]:
    for key in ("container_name", "hostname"):
        if name := as_text(raw.get(key)):
            yield name
    networks = raw.get("networks")
    for details in networks.values() if isinstance(networks, dict) else ():
        aliases = details.get("aliases") if isinstance(details, dict) else None
        yield from (as_text(alias) for alias in aliases or () if isinstance(alias, str) and alias)


def _links(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    links = raw.get("links")
    for item in links if isinstance(links, list) else ():
        name, _, alias = as_text(item).partition(":")
        if alias:
            yield name, alias
