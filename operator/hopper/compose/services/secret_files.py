"""Conversion of `secrets` into config files from the Secret of the service or from an external Secret."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hopper.api.service import EnvSource, KeyRef
from hopper.compose.project import ComposeProject
from hopper.compose.reading.file_readers import UnreadableFileError
from hopper.compose.reading.tracked_text import as_text, is_blank
from hopper.compose.section import Section
from hopper.compose.services.config_files import (
    MAX_FILE,
    ServiceFiles,
    absolute_path,
    drop_owner,
    external_name,
    is_external,
    parse_file_mode,
)
from hopper.compose.services.service_secret import ServiceSecret

DIRECTORY = "/run/secrets"
# The mode that docker compose uses.
_DEFAULT_MODE = "0444"


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret of a service: its key in the report, its path and mode in the container, and its source."""

    key: str
    path: str
    mode: str
    source: KeyRef


def read_secrets(
    section: Section, project: ComposeProject, secret: ServiceSecret, variables: set[str]
) -> tuple[SecretFile, ...]:
    """Read the secrets of a service and store their values in its Secret. No key is the name of a variable."""
    return tuple(_read_each(section, project, secret, variables))


def place_secrets(secrets: Iterable[SecretFile], files: ServiceFiles) -> None:
    """Add the secrets to the config files of the service."""
    for secret in secrets:
        files.add_reference(secret.key, secret.path, EnvSource(secret_key_ref=secret.source), mode=secret.mode)


def _read_each(
    section: Section, project: ComposeProject, secret: ServiceSecret, variables: set[str]
) -> Iterator[SecretFile]:
    raw = section.take("secrets")
    for index, item in enumerate(raw if isinstance(raw, list) else []):
        key = f"secrets[{index}]"
        entry = Section(item if isinstance(item, dict) else {"source": item}, section.reporter, key)
        source, target, mode = (entry.take(name) for name in ("source", "target", "mode"))
        drop_owner(entry)
        entry.close()
        if source is None or is_blank(source):
            continue
        name, target_text = as_text(source), as_text(target)
        path = target_text if target_text.startswith("/") else f"{DIRECTORY}/{target_text or name}"
        ref = _key_ref(key, name, section, project, secret, variables)
        file_mode = _DEFAULT_MODE if mode is None else parse_file_mode(mode)
        yield SecretFile(key, absolute_path(path) or path, file_mode, ref)


def _key_ref(
    key: str, name: str, section: Section, project: ComposeProject, secret: ServiceSecret, variables: set[str]
) -> KeyRef:
    definition = project.secrets.get(name)
    if isinstance(definition, dict) and is_external(definition.get("external")):
        external = external_name(name, definition)
        section.reporter.changed(key, f"the Secret {external} must exist, with the key {name}")
        return KeyRef(name=external, key=name)
    value = _read_value(key, name, definition, section, project)
    secret_key = secret.add_file(name, value or "", variables)
    if value is None:
        advice = "Fill in the value in the Secret before you apply it"
        section.reporter.changed(key, f"the Secret {secret.name} has no value for {secret_key}", advice)
    return KeyRef(name=secret.name, key=secret_key)


def _read_value(key: str, name: str, definition: Any, section: Section, project: ComposeProject) -> str | None:
    """Return the value of a secret, or None if it is not available, which is reported."""
    reporter = section.reporter
    if not isinstance(definition, dict):
        reporter.dropped(key, f"the secret {name} is not defined", "Define it in secrets at the top level")
    elif "file" in definition:
        try:
            return project.read(as_text(definition["file"]), MAX_FILE).content
        except UnreadableFileError as error:
            advice = "Create it and import again, or fill in the value in the Secret"
            reporter.dropped(key, f"the file of the secret {name} {error}", advice)
    elif "environment" in definition:
        variable = as_text(definition["environment"])
        if (value := project.variables.get(variable)) is not None:
            return value
        reporter.dropped(key, f"the variable {variable} has no value", "Set it in .env, or import with --env")
    return None
