"""Conversion of compose projects into manifests and a report."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hopper.api.names import DEFAULT_PREFIX, GLOBAL_NAME
from hopper.api.resources import Manifest
from hopper.compose.hosts.reachability import add_reached_ports, report_host_names
from hopper.compose.hosts.references import find_references
from hopper.compose.hosts.self_references import rewrite_self_references
from hopper.compose.hosts.stack_overrides import override_host_names
from hopper.compose.load_project import ProjectLoader
from hopper.compose.manifests import build_manifests
from hopper.compose.project import MAX_NAME, ComposeProject, NameAllocator, kubernetes_name
from hopper.compose.reading.file_readers import FileReader, RecordingReader
from hopper.compose.reading.sources import ProjectSource, find_project_sources, open_project_directory
from hopper.compose.reading.tracked_text import as_text
from hopper.compose.report import Finding, Report
from hopper.compose.services.dependencies import find_cycle_closing_dependencies
from hopper.compose.services.service import ConvertedService, convert_service, find_project_secrets, read_service

_MAX_STACK = 40

# Returns the reader for the files of a project.
OpenFiles = Callable[[ProjectSource], FileReader]


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result of a conversion: the services in the order of the files, and the findings about them."""

    services: tuple[ConvertedService, ...]
    findings: tuple[Finding, ...]
    stack: str | None = None

    def manifests(self) -> list[Manifest]:
        """Return the Secrets and templates and, for a stack, its project and service instances."""
        return build_manifests(self.services, self.stack)


def convert(
    paths: Iterable[Path],
    open_files: OpenFiles = open_project_directory,
    *,
    stack: str | None = None,
    prefix: str = DEFAULT_PREFIX,
    environment: Mapping[str, str] | None = None,
) -> Conversion:
    """Convert compose files, or the compose files in directories.

    Args:
        paths: Compose files and directories.
        open_files: Opens the files of a project for reading.
        stack: Name of the stack to create instances for; None creates templates only.
        prefix: Prefix of the names of the operator's objects.
        environment: Variables that take precedence over those in `.env`.

    Raises:
        ComposeError: The input has problems. The error lists all of them, and nothing is converted.
    """
    report, paths = Report(), list(paths)
    _check_stack_name(stack, report)
    loader = ProjectLoader(report, environment or {}, NameAllocator(MAX_NAME - len(stack) - 1 if stack else MAX_NAME))
    projects = [
        loader.load(source, RecordingReader(open_files(source))) for source in find_project_sources(paths, report)
    ]
    projects = [replace(project, other_names=loader.object_names) for project in projects]
    services = [service for project in projects for service in _convert_project(project, report, stack=bool(stack))]
    services = _connect(services, projects, stack, prefix, report)
    if not services and not report.problems:
        reporter = report.reporter_for(", ".join(map(str, paths)))
        reporter.problem("", "found no service to convert", "name a file with `services:`")
    report.raise_problems()
    return Conversion(tuple(services), _in_file_order(report.findings, projects), stack)


def _check_stack_name(stack: str | None, report: Report) -> None:
    if stack is not None and (kubernetes_name(stack) != stack or stack == GLOBAL_NAME or len(stack) > _MAX_STACK):
        fix = f"use at most {_MAX_STACK} lower-case letters, digits and -, and not the name {GLOBAL_NAME}"
        report.reporter_for("--stack").problem("", f"invalid stack name {stack!r}", fix)


def _convert_project(project: ComposeProject, report: Report, *, stack: bool) -> list[ConvertedService]:
    inputs = [read_service(name, raw, project) for name, raw in project.services.items()]
    secret_values = find_project_secrets(inputs)
    services = [convert_service(service, project, secret_values, stack=stack) for service in inputs]
    _report_shared_volumes(services, project)
    _report_unused(project, services)
    if unread := project.files.unread(project.beside):
        message = f"other YAML files in the directory were not read: {', '.join(path.name for path in unread)}"
        project.reporter.note("", message, "To import them as well, name them on the command line")
    return _without_dependency_cycles(services, project)


def _connect(
    services: list[ConvertedService], projects: list[ComposeProject], stack: str | None, prefix: str, report: Report
) -> list[ConvertedService]:
    """Return the services with the ports and host names by which they reach each other in the cluster."""
    compose_files = {name: project.label for project in projects for name in project.names.values()}
    services = rewrite_self_references(find_references(projects, services), services, compose_files, report)
    references = find_references(projects, services)
    services = add_reached_ports(references, services, compose_files, report)
    if stack is not None:
        return override_host_names(references, services, stack, prefix, compose_files, report)
    report_host_names(references, services, compose_files, report)
    return services


def _in_file_order(findings: Iterable[Finding], projects: Iterable[ComposeProject]) -> tuple[Finding, ...]:
    """Return the findings sorted by file and service, both in their order in the input."""
    places = [(project.label, service) for project in projects for service in (None, *project.services)]
    order = {place: number for number, place in enumerate(places)}
    return tuple(sorted(findings, key=lambda finding: order.get((finding.file, finding.service), -1)))


def _without_dependency_cycles(services: Sequence[ConvertedService], project: ComposeProject) -> list[ConvertedService]:
    """Return the services without the dependencies that close a cycle, because no service in a cycle would start."""
    dependencies = {service.name: service.spec.depends_on or () for service in services}
    removed = find_cycle_closing_dependencies(dependencies)
    result = []
    for service in services:
        for dependency in (name for name in dependencies[service.name] if (service.name, name) in removed):
            message = "the dependency closes a cycle, in which the services would wait for each other"
            reporter = project.reporter.report.reporter_for(project.label, service.service)
            reporter.dropped(f"depends_on.{dependency}", message, "Remove one of the dependencies")
        remaining = tuple(name for name in dependencies[service.name] if (service.name, name) not in removed)
        result.append(replace(service, spec=replace(service.spec, depends_on=remaining or None)))
    return result


def _report_shared_volumes(services: Sequence[ConvertedService], project: ComposeProject) -> None:
    """Report volumes that several services mount, because each instance gets its own PersistentVolumeClaim."""
    external = {name for name, volume in project.volumes.items() if volume.external}
    for service in services:
        for volume in dict.fromkeys(service.volumes):
            others = [other.service for other in services if volume in other.volumes and other is not service]
            if others and volume not in external:
                message = f"the volume {volume} is not shared with {', '.join(others)}: each instance gets its own"
                advice = (
                    "Create a PersistentVolumeClaim with access mode ReadWriteMany, and set it as source "
                    "with external: true"
                )
                reporter = project.reporter.report.reporter_for(project.label, service.service)
                reporter.dropped(f"volumes.{volume}", message, advice)


def _report_unused(project: ComposeProject, services: Iterable[ConvertedService]) -> None:
    """Report volumes, configs and secrets at the top level that no service uses."""
    mounted = {volume for service in services for volume in service.volumes}
    for name, volume in project.volumes.items():
        if name not in mounted and not volume.tmpfs:
            project.reporter.note(f"volumes.{name}", "no service mounts it")
    for section, definitions in (("configs", project.configs), ("secrets", project.secrets)):
        used = {name for raw in project.services.values() for name in _source_names(raw.get(section))}
        for name in definitions:
            if name not in used:
                project.reporter.note(f"{section}.{name}", "no service uses it")


def _source_names(entries: object) -> list[str]:
    """Return the names of the configs or secrets that a service lists."""
    items = entries if isinstance(entries, list) else []
    return [as_text(item.get("source") if isinstance(item, dict) else item) for item in items]
