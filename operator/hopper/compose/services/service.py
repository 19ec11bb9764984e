"""Conversion of one compose service into a template, its Secret, and the settings of its instance."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hopper.api.enums import DesiredState
from hopper.api.service import Overrides
from hopper.api.template import TemplateSpec, dump_template_spec
from hopper.compose.project import ComposeProject
from hopper.compose.report import Reporter
from hopper.compose.secret_detection import find_passwords, is_common_word, is_location, is_public_value
from hopper.compose.section import Section
from hopper.compose.services.commands import convert_command, find_command_secrets
from hopper.compose.services.config_files import ServiceFiles, convert_configs, convert_devarch_config
from hopper.compose.services.container import convert_image, convert_user, convert_working_dir
from hopper.compose.services.dependencies import convert_dependencies
from hopper.compose.services.environment import ServiceEnvironment, build_env_entries, read_environment
from hopper.compose.services.healthcheck import convert_healthcheck
from hopper.compose.services.labels import convert_labels
from hopper.compose.services.lifecycle import RestartSettings, convert_profiles, convert_replicas, convert_restart
from hopper.compose.services.ports import convert_ports
from hopper.compose.services.resources import convert_resources
from hopper.compose.services.secret_extraction import SecretExtraction
from hopper.compose.services.secret_files import SecretFile, place_secrets, read_secrets
from hopper.compose.services.service_secret import ServiceSecret
from hopper.compose.services.unsupported import report_unsupported, report_unsupported_deploy
from hopper.compose.services.volumes import ServiceVolumes
from hopper.domain.service.merge import LIST_KINDS, ServiceProblem, merge
from hopper.domain.service.problems import find_problems

# Shorter values are often common words with another meaning elsewhere.
_MIN_SECRET_LENGTH = 6
_FIELD_NAME = re.compile(r"[A-Za-z]+")
# Template fields that can be removed if they are invalid, by their name in the manifest.
_OPTIONAL_FIELDS = {
    "command": "command",
    "args": "args",
    "workingDir": "working_dir",
    "user": "user",
    "resources": "resources",
    "healthcheck": "healthcheck",
}


@dataclass(frozen=True, slots=True)
class ConvertedService:
    """The result of converting a service.

    Attributes:
        service: Name in the compose file.
        name: Object name, without the stack.
        spec: Spec of the template.
        secret_name: Name of the Secret of the template.
        secrets: Data of that Secret.
        replicas: Replicas of the instance, or None if the file does not set them.
        restart: Restart settings of the template and the instance.
        state: Desired state of a new instance.
        volumes: Named volumes that the service mounts.
        overrides: Overrides of the instance in the stack.
        override_secrets: Secret values that the overrides refer to.
    """

    service: str
    name: str
    spec: TemplateSpec
    secret_name: str
    secrets: dict[str, str]
    replicas: int | None
    restart: RestartSettings
    state: DesiredState
    volumes: tuple[str, ...]
    overrides: Overrides = field(default_factory=Overrides)
    override_secrets: dict[str, str] = field(default_factory=dict)

    def override_secret_name(self, stack: str) -> str:
        """Return the name of the Secret for `override_secrets`."""
        return f"{stack}-{self.name}-overrides"


@dataclass(slots=True)
class ServiceInput:
    """A service whose variables and secrets are read, and everything else is not.

    The secrets of all services of a project must be known before any service is converted.
    """

    name: str
    section: Section
    environment: ServiceEnvironment
    secret: ServiceSecret
    secret_files: tuple[SecretFile, ...]
    command_secrets: tuple[str, ...]


def read_service(name: str, raw: dict[str, Any], project: ComposeProject) -> ServiceInput:
    """Read the variables and secrets of a service."""
    section = Section(raw, project.reporter.report.reporter_for(project.label, name))
    environment = read_environment(section, project)
    secret = ServiceSecret(f"{project.names[name]}-secrets")
    secret_files = read_secrets(section, project, secret, environment.names)
    for variable, value in environment.secret.items():
        secret.add_variable(variable, str(value))
    return ServiceInput(name, section, environment, secret, secret_files, tuple(find_command_secrets(raw)))


def find_project_secrets(services: Iterable[ServiceInput]) -> tuple[str, ...]:
    """Return the secret values of a project that are replaced wherever they occur, longest first.

    Short values are excluded, and names of services, users, databases and the like that are also passwords. Any other
    value is secret under every name.
    """
    services = list(services)
    public = {service.name for service in services}
    for service in services:
        public |= {value for name, value in service.environment.plain.items() if is_public_value(name, value)}
    # Programs that read a secret from a file strip the line end.
    secrets = {value.strip() for service in services for value in service.secret.data.values()}
    secrets |= {secret for service in services for secret in service.command_secrets}
    secrets |= {password for value in secrets for password in find_passwords(value)}
    result = {secret for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH and secret not in public}
    return tuple(sorted(result, key=lambda secret: (-len(secret), secret)))


def convert_service(
    service: ServiceInput, project: ComposeProject, secret_values: tuple[str, ...], *, stack: bool
) -> ConvertedService:
    """Convert a service. `secret_values` are the secrets of the whole project."""
    section, environment, secret = service.section, service.environment, service.secret
    _move_secrets(environment, secret, secret_values)
    extraction = SecretExtraction(secret_values, secret, environment.names)
    deploy = section.below("deploy")
    image = convert_image(service.name, section, project)
    # The key is still present only if the extended service could not be read, which is reported.
    section.take("extends")
    command, args = convert_command(section, extraction)
    healthcheck = convert_healthcheck(section, extraction)
    files = ServiceFiles(section, project, secret_values, secret, environment.names)
    place_secrets(service.secret_files, files)
    convert_devarch_config(section, files)
    convert_configs(section, project, files)
    volumes = ServiceVolumes(section, project, files)
    volumes.convert()
    labels, domains = convert_labels(section, deploy, environment, project, secret_values)
    user, profile = convert_user(section)
    restart = convert_restart(section, deploy, stack=stack)
    spec = TemplateSpec(
        image=image,
        command=command,
        args=args,
        working_dir=convert_working_dir(section),
        user=user,
        resources=convert_resources(section, deploy),
        depends_on=convert_dependencies(service.name, section, project) or None,
        restart=restart.mode,
        security_profile=profile,
        ports=convert_ports(section, domains),
        volumes=tuple(volumes.entries.values()),
        labels=labels,
        domains=domains,
        healthcheck=healthcheck,
        config_files=tuple(files.entries.values()),
        env=tuple(build_env_entries(environment, secret.entries, section)),
    )
    spec = _without_invalid_fields(spec, section.reporter)
    _refuse_open_secrets(spec, secret_values, section.reporter)
    replicas = convert_replicas(section, deploy, stack=stack)
    state = convert_profiles(section, project, stack=stack)
    report_unsupported_deploy(deploy)
    report_unsupported(section)
    section.close()
    return ConvertedService(
        service=service.name,
        name=project.names[service.name],
        spec=spec,
        secret_name=secret.name,
        secrets=dict(secret.data),
        replicas=replicas,
        restart=restart,
        state=state,
        volumes=tuple(volumes.used),
    )


def _move_secrets(environment: ServiceEnvironment, secret: ServiceSecret, secret_values: tuple[str, ...]) -> None:
    """Move variables that contain a secret of the project into the Secret."""
    for name, value in list(environment.plain.items()):
        if any(secret_value in value for secret_value in secret_values):
            environment.secret[name] = environment.plain.pop(name)
            secret.add_variable(name, str(value))


def _refuse_open_secrets(spec: TemplateSpec, secret_values: tuple[str, ...], reporter: Reporter) -> None:
    """Report each field that contains a secret and cannot refer to a Secret, such as `image` and `workingDir`."""
    secrets = [value for value in secret_values if not (is_common_word(value) or is_location(value))]
    for path, text in _iterate_texts(dump_template_spec(spec)):
        if any(value.lower() in text.lower() for value in secrets):
            message = "the value contains a secret, but everyone who can read the template can read this field"
            reporter.problem(path, message, "use a value without the secret")


def _iterate_texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and value of each text in a manifest."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _iterate_texts(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _iterate_texts(item, f"{path}[{index}]")
    elif isinstance(value, str):
        yield path, value


def _without_invalid_fields(spec: TemplateSpec, reporter: Reporter) -> TemplateSpec:
    """Return the template without the fields and entries that the operator would refuse, and report them."""
    while problems := find_problems(merge(spec, None)):
        smaller = spec
        for problem in problems:
            smaller = _without_field(smaller, problem, reporter)
        if smaller == spec:
            break
        spec = smaller
    return spec


def _without_field(spec: TemplateSpec, problem: ServiceProblem, reporter: Reporter) -> TemplateSpec:
    match = _FIELD_NAME.match(problem.field)
    kind = match[0] if match else ""
    change: dict[str, Any] = {}
    for list_kind in LIST_KINDS:
        if list_kind.wire == kind:
            entries = getattr(spec, list_kind.field)
            change[list_kind.field] = tuple(
                entry for entry in entries if not problem.field.startswith(list_kind.path(entry))
            )
    if kind in _OPTIONAL_FIELDS:
        change[_OPTIONAL_FIELDS[kind]] = None
    if not change:
        fix = "correct it in the compose file"
        reporter.problem(problem.field, f"in the template, {kind} {problem.message}", fix)
        return spec
    message, _, advice = problem.message.rpartition(": ")
    message = f"in the template, it {message or problem.message}"
    reporter.dropped(problem.field, message, advice[:1].upper() + advice[1:])
    return replace(spec, **change)
