"""Circles in what services wait for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hopper.compose.report import Report
from hopper.compose.services.service import ConvertedService


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
