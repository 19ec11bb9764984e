"""Conversion of `depends_on` and `links` into the services that an instance waits for."""

from collections.abc import Mapping, Sequence
from typing import Any

from hopper.compose.project import ComposeProject, kubernetes_name
from hopper.compose.reading.merge import parse_names
from hopper.compose.reading.short_syntax import parse_boolean
from hopper.compose.reading.tracked_text import as_text
from hopper.compose.section import Section
from hopper.compose.services.lifecycle import is_started_with_project, parse_profiles

MAX_DEPENDENCIES = 64


def convert_dependencies(service: str, section: Section, project: ComposeProject) -> tuple[str, ...]:
    """Return the object names of the services to wait for."""
    raw = section.take("depends_on")
    details_by_name = parse_names(raw if raw is not None else {})
    if details_by_name is None:
        section.reporter.problem("depends_on", "the value is not a list of services", "write `- name` lines")
        details_by_name = {}
    result: dict[str, None] = {}
    for name, details in details_by_name.items():
        if _is_waited_for(name, details if isinstance(details, Mapping) else {}, section, project):
            result[project.object_name(name) or kubernetes_name(name)] = None
    for name in _convert_links(section):
        if name != service and (object_name := project.object_name(name)):
            result[object_name] = None
    names = list(result)
    for name in names[MAX_DEPENDENCIES:]:
        message = f"the service has more than {MAX_DEPENDENCIES} dependencies"
        section.reporter.dropped(f"depends_on.{name}", message, "Remove some of them")
    return tuple(names[:MAX_DEPENDENCIES])


def find_cycle_closing_dependencies(dependencies: Mapping[str, Sequence[str]]) -> set[tuple[str, str]]:
    """Return the dependencies that close a cycle, as pairs of a service and the service it depends on.

    Dependencies are followed in their order. Each one that leads back to its own service is returned, and then ignored.
    """
    closing: set[tuple[str, str]] = set()
    kept: dict[str, list[str]] = {service: [] for service in dependencies}
    for service, names in dependencies.items():
        for dependency in names:
            if dependency in kept and _is_reachable(service, dependency, kept):
                closing.add((service, dependency))
            else:
                kept[service].append(dependency)
    return closing


def _is_reachable(goal: str, start: str, edges: Mapping[str, Sequence[str]]) -> bool:
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            waiting += edges.get(name, ())
    return False


def _is_waited_for(name: str, details: Mapping[str, Any], section: Section, project: ComposeProject) -> bool:
    """Whether the instance waits for a service in `depends_on`; what differs from compose is reported."""
    key = f"depends_on.{name}"
    dependency = Section(details, section.reporter, key)
    condition, is_optional = as_text(dependency.take("condition")), parse_boolean(dependency.take("required")) is False
    if parse_boolean(dependency.take("restart")):
        message = f"when {name} restarts, this service does not restart with it"
        section.reporter.dropped(
            dependency.key("restart"), message, "Restart it yourself: set spec.restartedAt of its instance"
        )
    dependency.close()
    if condition == "service_completed_successfully":
        _report_completion(name, section, project)
        return False
    if name in project.left_out:
        message = f"the instance does not wait for {name}, which is left out"
        section.reporter.dropped(key, message, "Set it up before you start the stack")
        return False
    if is_optional and _starts_stopped(name, project):
        message = f"the instance does not wait for {name}, which is not required and starts Stopped"
        section.reporter.note(key, message)
        return False
    if project.object_name(name):
        return True
    if is_optional:
        message = f"the instance does not wait for {name}, which is not required and not in this import"
        section.reporter.note(key, message)
        return False
    advice = "Import it into the same stack as well, or remove it from dependsOn"
    section.reporter.note(key, f"the instance waits for {name}, which is not in this import", advice)
    return True


def _report_completion(name: str, section: Section, project: ComposeProject) -> None:
    """Report that no instance completes: for the service that waits, and for the one it waits for."""
    message = f"the instance does not wait until {name} has completed, because instances never complete"
    advice = "Do the work in the start script of the image, or run it as a Job before"
    section.reporter.dropped(f"depends_on.{name}", message, advice)
    if project.names.get(name):
        message = "other services wait until it has completed, but Hopper starts it again whenever it ends"
        reporter = project.reporter.report.reporter_for(project.label, name)
        reporter.changed("restart", message, "Run it as a Job instead")


def _starts_stopped(name: str, project: ComposeProject) -> bool:
    raw = project.services.get(name)
    return isinstance(raw, Mapping) and not is_started_with_project(parse_profiles(raw.get("profiles")), project)


def _convert_links(section: Section) -> list[str]:
    """Return the names of the linked services."""
    raw = section.take("links")
    names = []
    for item in raw if isinstance(raw, list) else []:
        name, _, alias = as_text(item).partition(":")
        if alias in ("", name):
            section.reporter.note("links", f"the instance waits for {name}, as with depends_on")
        else:
            message = f"the host name {alias} does not exist in the cluster; only the start order is kept"
            section.reporter.dropped("links", message, "Use the name of the Service of the other instance")
        names.append(name)
    return names
