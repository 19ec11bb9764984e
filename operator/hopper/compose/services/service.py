"""One compose service → a template, the Secret it refers to, and what its instance needs beyond the template."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hopper.api.enums import DesiredState
from hopper.api.service import Overrides
from hopper.api.template import TemplateSpec
from hopper.compose.project import Project
from hopper.compose.reading.text import as_text, is_blank, unresolved_in
from hopper.compose.secret_names import passwords_in
from hopper.compose.section import Section
from hopper.compose.services.commands import Secrecy, convert_command, convert_healthcheck, secrets_in_commands
from hopper.compose.services.config_files import ConfigFiles, convert_configs, convert_devarch_config
from hopper.compose.services.environment import Environment, env_entries, read_environment
from hopper.compose.services.labels import convert_labels
from hopper.compose.services.ports import convert_ports
from hopper.compose.services.resources import convert_resources
from hopper.compose.services.running import (
    Restart,
    convert_dependencies,
    convert_profiles,
    convert_replicas,
    convert_restart,
    convert_user,
)
from hopper.compose.services.secret_files import SecretFile, place_secrets, read_secrets
from hopper.compose.services.unsupported import report_deploy, report_unsupported
from hopper.compose.services.vault import Vault
from hopper.compose.services.vetting import vetted
from hopper.compose.services.volumes import Mounts
from hopper.domain.service.problems.container import is_image

_MAX_IMAGE = 1024
# Shorter values are often words that stand elsewhere for something else.
_MIN_TRACED = 6


@dataclass(frozen=True, slots=True)
class ConvertedService:
    """What became of a service. `name` is its object's name without the stack's, `secrets` its Secret's data.

    The rest is for an instance: replicas (None: not said), restart policy, the state to begin with.
    `volumes` are the named volumes that it mounts, `overrides` what an instance in the stack has instead of the
    template's; values of those that are secret are in `override_secrets`.
    """

    service: str
    name: str
    spec: TemplateSpec
    secret_name: str
    secrets: dict[str, str]
    replicas: int | None
    restart: Restart
    state: DesiredState
    volumes: tuple[str, ...]
    overrides: Overrides = field(default_factory=Overrides)
    override_secrets: dict[str, str] = field(default_factory=dict)

    def override_secret_name(self, stack: str) -> str:
        """Return the name of the Secret for `override_secrets`."""
        return f"{stack}-{self.name}-overrides"


@dataclass(slots=True)
class ServiceInput:
    """A service that is being read: first its variables, which tell the secrets of the project, then all else."""

    name: str
    section: Section
    environment: Environment
    vault: Vault
    secrets: tuple[SecretFile, ...]
    in_commands: tuple[str, ...]


def open_service(name: str, raw: dict[str, Any], project: Project) -> ServiceInput:
    """Read the variables and secrets of a service."""
    section = Section(raw, project.about.report.about(project.label, name))
    environment = read_environment(section, project)
    vault = Vault(f"{project.names[name]}-secrets")
    secrets = read_secrets(section, project, vault, environment.names)
    for variable, value in environment.secret.items():
        vault.variable(variable, str(value))
    return ServiceInput(name, section, environment, vault, secrets, tuple(secrets_in_commands(raw)))


def traced_secrets(inputs: Iterable[ServiceInput]) -> tuple[str, ...]:
    """Return the secret values of a project that are secret wherever they stand, longest first.

    Short ones, and those that are also the value of a variable that is no secret, are not: they are common words.
    """
    inputs = list(inputs)
    public = {value for item in inputs for value in item.environment.plain.values()} | {item.name for item in inputs}
    # Those who read a secret from a file strip the line's end.
    secrets = {value.strip() for item in inputs for value in item.vault.data.values()}
    secrets |= {secret for item in inputs for secret in item.in_commands}
    secrets |= {part for value in secrets for part in passwords_in(value)}
    traced = {secret for secret in secrets if len(secret) >= _MIN_TRACED and secret not in public}
    return tuple(sorted(traced, key=lambda secret: (-len(secret), secret)))


def convert_service(source: ServiceInput, project: Project, known: tuple[str, ...], *, stack: bool) -> ConvertedService:
    """Convert a service whose variables are read. `known` are the project's secret values."""
    section, environment, vault = source.section, source.environment, source.vault
    _hide_known(environment, vault, known)
    secrecy = Secrecy(known, lambda value, hint: vault.reference(value, hint, environment.names), environment.names)
    deploy = section.below("deploy")
    image = _image(source.name, section, project)
    section.take("extends")  # still there only if what it names could not be read, which is reported
    command, args = convert_command(section, secrecy)
    healthcheck = convert_healthcheck(section, secrecy)
    files = ConfigFiles(section, project, known, vault, environment.names)
    place_secrets(source.secrets, files)
    convert_devarch_config(section, files)
    convert_configs(section, project, files)
    mounts = Mounts(section, project, files)
    mounts.convert()
    labels, domains = convert_labels(section, deploy, environment, project, known)
    user, profile = convert_user(section)
    restart = convert_restart(section, deploy, stack=stack)
    spec = TemplateSpec(
        image=image,
        command=command,
        args=args,
        working_dir=_working_dir(section),
        user=user,
        resources=convert_resources(section, deploy),
        depends_on=convert_dependencies(source.name, section, project) or None,
        restart=restart.mode,
        security_profile=profile,
        ports=convert_ports(section, domains),
        volumes=tuple(mounts.entries.values()),
        labels=labels,
        domains=domains,
        healthcheck=healthcheck,
        config_files=tuple(files.entries.values()),
        env=tuple(env_entries(environment, vault.entries, section)),
    )
    spec = vetted(spec, section.about)
    replicas = convert_replicas(section, deploy, stack=stack)
    state = convert_profiles(section, project, stack=stack)
    report_deploy(deploy)
    report_unsupported(section)
    section.close()
    return ConvertedService(
        service=source.name,
        name=project.names[source.name],
        spec=spec,
        secret_name=vault.name,
        secrets=dict(vault.data),
        replicas=replicas,
        restart=restart,
        state=state,
        volumes=tuple(mounts.used),
    )


def _hide_known(environment: Environment, vault: Vault, known: tuple[str, ...]) -> None:
    """Move variables that repeat a secret of another one into the Secret."""
    for name, value in list(environment.plain.items()):
        if any(secret in value for secret in known):
            environment.secret[name] = environment.plain.pop(name)
            vault.variable(name, str(value))


def _image(name: str, section: Section, project: Project) -> str:
    """Return the image; for one that has to be built, the name that docker compose gives it."""
    raw = section.take("image")
    image = as_text(raw).strip()
    built = f"{project.name}-{name.lower()}:latest"
    built = built if _is_image(built) else "to-be-built:latest"
    if raw is None or not image:
        if "build" in section:
            section.about.changed("image", f"it is called {built} until you set another name")
        elif is_blank(raw) or "extends" in section:
            section.about.changed("image", f"it is not known, and called {built} until you set it")
        elif "provider" not in section:
            section.about.problem("image", "there is neither image nor build", "add the image")
        return built
    if unresolved_in(raw) and (image.endswith((":", "@")) or not _is_image(image)):
        known = image.rstrip(":@")
        image = known if _is_image(known) else built
        section.about.changed("image", f"it became {image}, as variables in it have no value", "Set the right image")
    elif not _is_image(image):
        untagged = image.rpartition(":")[0].strip()
        image = untagged if _is_image(untagged) else built
        advice = "Write it as in nginx:1.29, or set image in the template"
        section.about.dropped("image", f"this is no name of an image, and it became {image}", advice)
    return image


def _is_image(text: str) -> bool:
    return is_image(text) and len(text) <= _MAX_IMAGE


def _working_dir(section: Section) -> str | None:
    raw = section.take("working_dir")
    if raw is None or is_blank(raw):
        return None
    text = as_text(raw)
    if not text.startswith("/") or len(text) > 1024:
        advice = "Write a path that begins with /"
        section.about.dropped("working_dir", "it is not absolute, and the image's own is not known", advice)
        return None
    return text
