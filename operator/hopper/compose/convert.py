"""Compose projects → everything that goes into the cluster, and a report of what does not."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hopper.api.names import DEFAULT_PREFIX, GLOBAL_NAME
from hopper.api.resources import Manifest
from hopper.compose.circles import without_circles
from hopper.compose.hosts.own_names import without_own_names
from hopper.compose.hosts.reachability import report_host_names, with_reached_ports
from hopper.compose.hosts.references import find_references
from hopper.compose.hosts.rewriting import with_stack_names
from hopper.compose.manifests import manifests
from hopper.compose.names import MAX_NAME, Allocator, object_name, project_name
from hopper.compose.project import Project
from hopper.compose.reading.cleaning import clean_services
from hopper.compose.reading.files import Files, Remembering
from hopper.compose.reading.loading import Loader
from hopper.compose.reading.schema import check_schema
from hopper.compose.reading.sources import Source, find_sources, open_beside
from hopper.compose.reading.text import as_text
from hopper.compose.report import Finding, Report, Reporter
from hopper.compose.section import Section
from hopper.compose.services.named_volumes import convert_named_volumes, report_sharing
from hopper.compose.services.service import ConvertedService, convert_service, open_service, traced_secrets

_MAX_STACK = 40
_MAX_SERVICES = 1000


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result: services in the order of the files, and what is worth knowing about them."""

    services: tuple[ConvertedService, ...]
    findings: tuple[Finding, ...]
    stack: str | None = None

    def manifests(self) -> list[Manifest]:
        """Return the objects: Secrets, templates, and for a stack its Project and instances."""
        return manifests(self.services, self.stack)


# Returns what may be read for a project.
OpenFiles = Callable[[Source], Files]


def convert(
    paths: Iterable[Path],
    open_files: OpenFiles = open_beside,
    *,
    stack: str | None = None,
    prefix: str = DEFAULT_PREFIX,
    environment: Mapping[str, str] | None = None,
) -> Conversion:
    """Convert compose files, or the files of directories.

    `prefix` is what the names of the operator's objects begin with. `environment` holds variables that win over those
    of a `.env` beside the file. Raises `ComposeError` with every problem found; then nothing is converted.
    """
    report, paths = Report(), list(paths)
    if stack is not None and (object_name(stack) != stack or stack == GLOBAL_NAME or len(stack) > _MAX_STACK):
        message = f"a stack cannot be called {stack!r}"
        fix = f"use up to {_MAX_STACK} lower-case letters, digits and -, and not {GLOBAL_NAME}"
        report.about("--stack").problem("", message, fix)
    names = Allocator(MAX_NAME - len(stack) - 1 if stack else MAX_NAME)
    origins: dict[str, str] = {}
    projects = [
        _load(source, Remembering(open_files(source)), report, names, origins, environment or {})
        for source in find_sources(paths, report)
    ]
    projects = [replace(project, other_names=origins) for project in projects]
    services = [service for project in projects for service in _convert_project(project, report, stack=bool(stack))]
    services = _reaching_each_other(services, projects, stack, prefix, report)
    if not services and not report.problems:
        about = report.about(", ".join(map(str, paths)))
        about.problem("", "no service was found that could be converted", "name a file with `services:`")
    report.raise_problems()
    return Conversion(tuple(services), _in_order(report.findings, projects), stack)


def _reaching_each_other(
    services: list[ConvertedService], projects: list[Project], stack: str | None, prefix: str, report: Report
) -> list[ConvertedService]:
    """Return the services with the ports and names by which they reach each other."""
    files = {own: project.label for project in projects for own in project.names.values()}
    services = without_own_names(find_references(projects, services), services, files, report)
    references = find_references(projects, services)
    services = with_reached_ports(references, services, files, report)
    if stack is not None:
        return with_stack_names(references, services, stack, prefix, files, report)
    report_host_names(references, services, files, report)
    return services


def _in_order(findings: Iterable[Finding], projects: Iterable[Project]) -> tuple[Finding, ...]:
    """Return the findings by file and service, in the order of the files."""
    places = [(project.label, service) for project in projects for service in (None, *project.services)]
    order = {place: number for number, place in enumerate(places)}
    return tuple(sorted(findings, key=lambda finding: order.get((finding.file, finding.service), -1)))


def _load(
    source: Source,
    files: Remembering,
    report: Report,
    names: Allocator,
    origins: dict[str, str],
    environment: Mapping[str, str],
) -> Project:
    """Load a project and name its services; `origins` collects the names, of equal services the first one's."""
    about = report.about(source.label)
    loader = Loader(files, report, environment)
    model = loader.load(source.files, source.env_files)
    raw = model.get("services")
    services = clean_services(raw if isinstance(raw, dict) else {}, source.label, report)
    if raw is not None:  # or this is something else than a compose file, which is told below
        check_schema({**model, "services": services} if isinstance(raw, dict) else model, source.label, report)
    if len(services) > _MAX_SERVICES:
        about.problem("services", f"there are more than {_MAX_SERVICES} services", "split the file")
        services = {}
    left_out = frozenset(name for name, service in services.items() if _is_provided(name, service, about))
    services = {name: service for name, service in services.items() if name not in left_out}
    allocated = {name: _allocated(name, names, about) for name in services}
    for name, own in allocated.items():
        origins.setdefault(name, own)
    project = _project(model, source, files, loader.variables, about)
    return replace(project, services=services, names=allocated, left_out=left_out)


def _convert_project(project: Project, report: Report, *, stack: bool) -> list[ConvertedService]:
    inputs = [open_service(name, raw, project) for name, raw in project.services.items()]
    known = traced_secrets(inputs)
    converted = [convert_service(item, project, known, stack=stack) for item in inputs]
    external = {name for name, volume in project.volumes.items() if volume.external}
    report_sharing(converted, external, project.label, report)
    _report_unused(project, converted)
    if unread := project.files.unread(project.beside):
        listed = ", ".join(path.name for path in unread)
        project.about.note("", f"not read: {listed}", "Name further files to import them, too")
    return without_circles(converted, project.label, report)


def _project(
    model: dict[str, Any], source: Source, files: Remembering, variables: Mapping[str, str], about: Reporter
) -> Project:
    """Read the top level of a model, all but its services."""
    top = Section(model, about)
    top.take("services")
    if top.take("version") is not None:
        about.note("version", "it has no meaning any more")
    given = as_text(top.take("name") or variables.get("COMPOSE_PROJECT_NAME"))
    volumes = convert_named_volumes(top.take("volumes"), about)
    definitions = {section: top.take(section) for section in ("configs", "secrets")}
    if isinstance(networks := top.take("networks"), dict):
        about.note("networks", f"instances of a namespace share one network, which replaces {', '.join(networks)}")
    for section in ("models", "jobs"):
        top.drop(section, "Hopper runs services only", "Run it as a service, or outside of Hopper")
    top.close()
    for section, entries in definitions.items():
        _report_definitions(section, entries, about)
    return Project(
        label=source.label,
        directory=source.directory,
        name=project_name(given),
        files=files,
        variables=variables,
        about=about,
        own_files=source.files,
        beside=source.beside,
        volumes=volumes,
        configs=_mapping(definitions["configs"]),
        secrets=_mapping(definitions["secrets"]),
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _allocated(name: str, names: Allocator, about: Reporter) -> str:
    """Return the object name of a service; it differs from the service's where that is taken or no object name."""
    wanted, own = object_name(name), names.allocate(name)
    service = about.report.about(about.file, name)
    if own.removeprefix(wanted).startswith("-"):
        advice = "To merge files as docker compose -f does, pipe `docker compose config` into this command"
        service.changed("", f"another service has the name {wanted}, so that this one became {own}", advice)
    elif own != name:
        service.note("", f"its objects are called {own}")
    return own


def _is_provided(name: str, raw: dict[str, Any], about: Reporter) -> bool:
    if "provider" not in raw or "image" in raw or "build" in raw:
        return False
    advice = "Set it up outside of Hopper, and give its address to those who need it"
    about.report.about(about.file, name).dropped(
        "provider", "the service is run by something else, and left out", advice
    )
    return True


def _report_definitions(section: str, entries: Any, about: Reporter) -> None:
    """Report what configs and secrets say beyond their content."""
    for name, raw in entries.items() if isinstance(entries, dict) else ():
        inner = Section(raw if isinstance(raw, dict) else {}, about, f"{section}.{name}")
        for key in ("file", "content", "environment", "external"):
            inner.take(key)
        if inner.take("name") is not None and not (isinstance(raw, dict) and raw.get("external")):
            about.note(inner.key("name"), "objects are named by convention")
        inner.close()


def _report_unused(project: Project, converted: Iterable[ConvertedService]) -> None:
    """Name what is declared at the top level, but used by nobody."""
    mounted = {volume for service in converted for volume in service.volumes}
    for name, volume in project.volumes.items():
        if name not in mounted and not volume.tmpfs:
            project.about.note(f"volumes.{name}", "no service mounts it")
    for section, entries in (("configs", project.configs), ("secrets", project.secrets)):
        used = {_source(item) for raw in project.services.values() for item in _listed(raw.get(section))}
        for name in entries:
            if name not in used:
                project.about.note(f"{section}.{name}", "no service uses it")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _source(item: Any) -> str:
    return as_text(item.get("source") if isinstance(item, dict) else item)
