"""Between services: names by which they reach each other, and circles in what they wait for."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hopper.api.names import DEFAULT_PREFIX
from hopper.compose.project import Project
from hopper.compose.reading.merge import as_assignments
from hopper.compose.reading.text import as_text
from hopper.compose.report import Report
from hopper.compose.services.service import ConvertedService
from hopper.domain.service.naming import base_name

_HOST_VARIABLE = re.compile(r"host|addr|server|url|uri|endpoint|broker|node|upstream|proxy|address", re.IGNORECASE)


def report_host_names(
    projects: Iterable[Project], services: Sequence[ConvertedService], stack: str | None, report: Report
) -> None:
    """Say where services reach others by their compose name, under which a cluster does not know them."""
    addresses = {service.name: _address(service, stack) for service in services}
    for project in projects:
        names = {**project.other_names, **project.names}
        for name, raw in project.services.items():
            values = dict(_values(raw))
            for other, short in names.items():
                keys = [key for key, value in values.items() if _names_host(key, value, other)]
                if keys:
                    message = f"it reaches {other} by its compose name, which no Service has"
                    advice = f"Override the value in the instance: there it is {addresses.get(short, short)}"
                    report.about(project.label, name).changed(", ".join(keys), message, advice)


def _values(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in (as_assignments(raw.get("environment")) or {}).items():
        yield f"environment.{name}", as_text(value)
    for key in ("entrypoint", "command"):
        value = raw.get(key)
        words = value if isinstance(value, list) else [value]
        yield key, " ".join(as_text(word) for word in words if not isinstance(word, dict | list))


def _address(service: ConvertedService, stack: str | None) -> str:
    """Return the name of the Service, and the ports that are not what they are inside."""
    name = f"{DEFAULT_PREFIX}-STACK-{service.name}"
    if stack is not None:
        name = base_name(DEFAULT_PREFIX, stack, f"{stack}-{service.name}")
    moved = [
        f"port {port.host_port} for {port.container_port}"
        for port in service.spec.ports
        if port.host_port not in (None, port.container_port)
    ]
    return f"{name} ({', '.join(moved)})" if moved else name


def without_circles(services: Sequence[ConvertedService], file: str, report: Report) -> list[ConvertedService]:
    """Return the services without those dependencies that close a circle: nobody in it would ever start."""
    by_name = {service.name: service for service in services}
    kept: dict[str, tuple[str, ...]] = dict.fromkeys(by_name, ())
    for service in services:
        for wanted in service.spec.depends_on or ():
            if wanted in kept and _reaches(wanted, service.name, kept):
                advice = "Remove one of the dependencies"
                message = "it closes a circle, in which all would wait for each other"
                report.about(file, service.service).dropped(f"depends_on.{wanted}", message, advice)
            else:
                kept[service.name] = (*kept[service.name], wanted)
    return [replace(s, spec=replace(s.spec, depends_on=kept[s.name] or None)) for s in services]


def _reaches(start: str, goal: str, edges: Mapping[str, tuple[str, ...]]) -> bool:
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            waiting += edges.get(name, ())
    return False


def _names_host(key: str, value: str, service: str) -> bool:
    name = re.escape(service)
    if value == service:
        return bool(_HOST_VARIABLE.search(key))
    return bool(re.search(rf"(?<![\w.-]){name}:\d{{2,5}}(?!\d)|://([^@/\s]*@)?{name}(?![\w.-])", value))
