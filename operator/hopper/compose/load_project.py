"""Loading of one compose project: its services, their object names, and the sections at the top level."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hopper.compose.project import ComposeProject, NameAllocator, compose_project_name, kubernetes_name
from hopper.compose.reading.file_readers import RecordingReader
from hopper.compose.reading.model_loader import ModelLoader
from hopper.compose.reading.schema import check_schema
from hopper.compose.reading.sources import ProjectSource
from hopper.compose.reading.tracked_text import as_text
from hopper.compose.report import Report, Reporter
from hopper.compose.section import Section, remove_empty_keys
from hopper.compose.services.volumes import convert_named_volumes

_MAX_SERVICES = 1000


@dataclass(slots=True)
class ProjectLoader:
    """Loader of all projects of an import. `environment` takes precedence over `.env`.

    `object_names` collects the object names of all services by service name. If several projects have a service of
    the same name, the entry is that of the first project.
    """

    report: Report
    environment: Mapping[str, str]
    allocator: NameAllocator
    object_names: dict[str, str] = field(default_factory=dict)

    def load(self, source: ProjectSource, files: RecordingReader) -> ComposeProject:
        """Return the project, and report its problems."""
        reporter = self.report.reporter_for(source.label)
        model_loader = ModelLoader(files, self.report, self.environment)
        model = model_loader.load(source.files, source.env_files)
        services = self._services(model, source, reporter)
        left_out = frozenset(name for name, service in services.items() if _is_provided(name, service, reporter))
        services = {name: service for name, service in services.items() if name not in left_out}
        names = {name: _allocate_name(name, self.allocator, reporter) for name in services}
        for name, object_name in names.items():
            self.object_names.setdefault(name, object_name)
        project = _read_top_level(model, source, files, model_loader.variables, reporter)
        return replace(project, services=services, names=names, left_out=left_out)

    def _services(self, model: dict[str, Any], source: ProjectSource, reporter: Reporter) -> dict[str, Any]:
        raw = model.get("services")
        services = remove_empty_keys(raw if isinstance(raw, dict) else {}, source.label, self.report)
        # A file without services is not a compose file. `convert` reports it, and no schema problems are needed.
        if raw is not None:
            check_schema({**model, "services": services} if isinstance(raw, dict) else model, source.label, self.report)
        if len(services) > _MAX_SERVICES:
            reporter.problem("services", f"the project has more than {_MAX_SERVICES} services", "split the file")
            return {}
        return services


def _read_top_level(
    model: dict[str, Any],
    source: ProjectSource,
    files: RecordingReader,
    variables: Mapping[str, str],
    reporter: Reporter,
) -> ComposeProject:
    """Return the project with everything at the top level of the model except the services."""
    top = Section(model, reporter)
    top.take("services")
    if top.take("version") is not None:
        reporter.note("version", "the key is obsolete and has no effect")
    name = as_text(top.take("name") or variables.get("COMPOSE_PROJECT_NAME"))
    volumes = convert_named_volumes(top.take("volumes"), reporter)
    definitions = {section: top.take(section) for section in ("configs", "secrets")}
    if isinstance(networks := top.take("networks"), dict):
        message = f"the pod network, which all instances share, replaces these networks: {', '.join(networks)}"
        reporter.note("networks", message)
    for section in ("models", "jobs"):
        top.drop(section, "Hopper runs services only", "Run it as a service, or outside Hopper")
    top.close()
    for section, entries in definitions.items():
        _report_definitions(section, entries, reporter)
    return ComposeProject(
        label=source.label,
        directory=source.directory,
        name=compose_project_name(name),
        files=files,
        variables=variables,
        reporter=reporter,
        own_files=source.files,
        beside=source.beside,
        volumes=volumes,
        configs=_mapping(definitions["configs"]),
        secrets=_mapping(definitions["secrets"]),
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _report_definitions(section: str, entries: Any, reporter: Reporter) -> None:
    """Report the keys of configs and secrets that have no effect."""
    for name, raw in entries.items() if isinstance(entries, dict) else ():
        definition = Section(raw if isinstance(raw, dict) else {}, reporter, f"{section}.{name}")
        for key in ("file", "content", "environment", "external"):
            definition.take(key)
        if definition.take("name") is not None and not (isinstance(raw, dict) and raw.get("external")):
            reporter.note(definition.key("name"), "the name has no effect: Hopper names objects by convention")
        definition.close()


def _allocate_name(service: str, allocator: NameAllocator, reporter: Reporter) -> str:
    """Return the object name of a service, and report it if it differs from the service name."""
    wanted, name = kubernetes_name(service), allocator.allocate(service)
    service_reporter = reporter.report.reporter_for(reporter.file, service)
    if name.removeprefix(wanted).startswith("-"):
        advice = "To merge files like docker compose -f does, pipe `docker compose config` into this command"
        message = f"another service is already named {wanted}, so this one is named {name}"
        service_reporter.changed("", message, advice)
    elif name != service:
        service_reporter.note("", f"its objects are named {name}")
    return name


def _is_provided(name: str, service: Mapping[str, Any], reporter: Reporter) -> bool:
    """Whether a provider runs the service instead of a container; if so, report that it is left out."""
    if "provider" not in service or "image" in service or "build" in service:
        return False
    message = "a provider runs this service instead of a container, so the service is left out"
    advice = "Set it up outside Hopper, and give its address to the services that need it"
    reporter.report.reporter_for(reporter.file, name).dropped("provider", message, advice)
    return True
