"""`secrets`: files below /run/secrets, from the service's Secret or from one that exists already."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hopper.api.service import EnvSource, KeyRef
from hopper.compose.errors import UnreadableFileError
from hopper.compose.names import object_name
from hopper.compose.project import Project
from hopper.compose.reading.text import as_text, is_blank
from hopper.compose.section import Section
from hopper.compose.services.config_files import MAX_FILE, ConfigFiles, absolute_path, file_mode, is_off
from hopper.compose.services.vault import Vault

DIRECTORY = "/run/secrets"
# As docker compose mounts them.
_MODE = "0444"


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret of a service: where it is mounted, and the key of the Secret that has it."""

    key: str
    path: str
    mode: str
    source: KeyRef


def read_secrets(section: Section, project: Project, vault: Vault, taken: set[str]) -> tuple[SecretFile, ...]:
    """Read the secrets of a service, and keep their values in its Secret, under none of the keys that are `taken`."""
    return tuple(_secrets(section, project, vault, taken))


def place_secrets(secrets: Iterable[SecretFile], files: ConfigFiles) -> None:
    """Place the secrets among the files of the service."""
    for secret in secrets:
        files.refer(secret.key, secret.path, EnvSource(secret_key_ref=secret.source), mode=secret.mode)


def _secrets(section: Section, project: Project, vault: Vault, taken: set[str]) -> Iterator[SecretFile]:
    raw = section.take("secrets")
    for index, item in enumerate(raw if isinstance(raw, list) else []):
        key = f"secrets[{index}]"
        inner = Section(item if isinstance(item, dict) else {"source": item}, section.about, key)
        source, target, mode = (inner.take(name) for name in ("source", "target", "mode"))
        for name in ("uid", "gid"):
            inner.drop(name, "files in a container belong to root", "Set mode so that its user can read it")
        inner.close()
        if source is None or is_blank(source):
            continue
        name, given = as_text(source), as_text(target)
        path = given if given.startswith("/") else f"{DIRECTORY}/{given or name}"
        ref = _reference(key, name, section, project, vault, taken)
        yield SecretFile(key, absolute_path(path) or path, _MODE if mode is None else file_mode(mode), ref)


def _reference(key: str, name: str, section: Section, project: Project, vault: Vault, taken: set[str]) -> KeyRef:
    definition = project.secrets.get(name)
    if isinstance(definition, dict) and not is_off(definition.get("external")):
        external = definition["external"]
        own = external.get("name") if isinstance(external, dict) else definition.get("name")
        secret = object_name(as_text(own or name))
        section.about.changed(key, f"the Secret {secret} must exist, with the key {name}")
        return KeyRef(name=secret, key=name)
    value = _value(key, name, definition, section, project)
    kept = vault.file(name, value or "", taken)
    if value is None:
        advice = "Fill in the value in the Secret before you apply it"
        section.about.changed(key, f"the Secret {vault.name} has no value for {kept}", advice)
    return KeyRef(name=vault.name, key=kept)


def _value(key: str, name: str, definition: Any, section: Section, project: Project) -> str | None:
    """Return the value of a secret, None where it is not known, which is reported."""
    if not isinstance(definition, dict):
        section.about.dropped(key, f"there is no secret {name} in the file", "Add it below secrets, at the top level")
    elif "file" in definition:
        try:
            return project.read(as_text(definition["file"]), MAX_FILE).content
        except UnreadableFileError as error:
            advice = "Put it there and import again, or fill in the value in the Secret"
            section.about.dropped(key, f"the file of the secret {name} {error}", advice)
    elif "environment" in definition:
        variable = as_text(definition["environment"])
        if (value := project.variables.get(variable)) is not None:
            return value
        section.about.dropped(key, f"the variable {variable} has no value", "Set it in .env, or give --env")
    return None
