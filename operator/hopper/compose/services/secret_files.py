"""`secrets`: files below /run/secrets. A template mounts no Secret, but most images read a variable just as well."""

from collections.abc import Iterator
from dataclasses import dataclass

from hopper.compose.errors import UnreadableFileError
from hopper.compose.names import object_name
from hopper.compose.project import Project
from hopper.compose.reading.text import as_text, is_blank
from hopper.compose.section import Section
from hopper.compose.services.config_files import MAX_FILE, absolute_path, is_off
from hopper.compose.services.environment import Environment
from hopper.compose.services.vault import Vault

DIRECTORY = "/run/secrets"
# `POSTGRES_PASSWORD_FILE`, and what Grafana makes of it.
_FILE_SUFFIXES = ("__FILE", "_FILE")


@dataclass(frozen=True, slots=True)
class _SecretFile:
    """A secret of a service: where it is mounted, and its value, or the Secret that has it."""

    key: str
    name: str
    path: str
    value: str | None = None
    external: str | None = None


def convert_secrets(section: Section, project: Project, environment: Environment, vault: Vault) -> None:
    """Turn secrets into variables where one ending in _FILE points to them; report the rest.

    Their values are kept in the service's Secret.
    """
    for secret in _secrets(section, project):
        variables = [
            (name, plain)
            for name, value in environment.plain.items()
            if value == secret.path and (plain := _without_suffix(name)) and plain not in environment.names
        ]
        if variables:
            for name, plain in variables:
                del environment.plain[name]
                _as_variable(secret, name, plain, environment, vault, section)
            continue
        advice = "If the program can read it from a variable, add one with secretKeyRef to the template"
        if secret.value is not None:
            kept = vault.file(secret.name, secret.value)
            message = f"it is not mounted at {secret.path}, but kept as {kept} in the Secret {vault.name}"
            section.about.dropped(secret.key, message, advice)
        elif secret.external is not None:
            section.about.dropped(secret.key, f"the Secret {secret.external} is not mounted at {secret.path}", advice)


def _as_variable(
    secret: _SecretFile, name: str, plain: str, environment: Environment, vault: Vault, section: Section
) -> None:
    key = f"environment.{name}"
    if secret.external is not None:
        vault.elsewhere(plain, secret.external, secret.name)
        advice = f"The Secret {secret.external} must exist, with the key {secret.name}"
        section.about.changed(key, f"it became {plain}, taken from that Secret instead of a file", advice)
        return
    # Those who read such a file strip the line's end.
    environment.secret[plain] = (secret.value or "").rstrip("\r\n")
    section.about.changed(key, f"it became {plain}, taken from the Secret {vault.name} instead of a file")
    if secret.value is None:
        environment.blank.append(plain)
        advice = "Fill in the value in the Secret before you apply it"
        section.about.changed(f"environment.{plain}", "the Secret has no value for it", advice)


def _secrets(section: Section, project: Project) -> Iterator[_SecretFile]:
    raw = section.take("secrets")
    for index, item in enumerate(raw if isinstance(raw, list) else []):
        key = f"secrets[{index}]"
        inner = Section(item if isinstance(item, dict) else {"source": item}, section.about, key)
        source, target = inner.take("source"), inner.take("target")
        for name in ("uid", "gid", "mode"):
            inner.drop(name, "secrets are variables, not files", "Remove it")
        inner.close()
        if source is None or is_blank(source):
            continue
        name = as_text(source)
        path = absolute_path(f"{DIRECTORY}/{as_text(target)}" if not as_text(target).startswith("/") else str(target))
        yield _read(key, name, path if target else f"{DIRECTORY}/{name}", section, project)


def _read(key: str, name: str, path: str | None, section: Section, project: Project) -> _SecretFile:
    where = path or DIRECTORY
    definition = project.secrets.get(name)
    if not isinstance(definition, dict):
        section.about.dropped(key, f"there is no secret {name} in the file", "Add it below secrets, at the top level")
    elif "file" in definition:
        try:
            return _SecretFile(key, name, where, project.read(as_text(definition["file"]), MAX_FILE).content)
        except UnreadableFileError as error:
            advice = "Put it there and import again, or fill in the value in the Secret"
            section.about.dropped(key, f"the file of the secret {name} {error}", advice)
    elif "environment" in definition:
        variable = as_text(definition["environment"])
        if (value := project.variables.get(variable)) is not None:
            return _SecretFile(key, name, where, value)
        section.about.dropped(key, f"the variable {variable} has no value", "Set it in .env, or give --env")
    elif not is_off(definition.get("external")):
        external = definition["external"]
        own = external.get("name") if isinstance(external, dict) else definition.get("name")
        return _SecretFile(key, name, where, external=object_name(as_text(own or name)))
    return _SecretFile(key, name, where)


def _without_suffix(name: str) -> str | None:
    for suffix in _FILE_SUFFIXES:
        if name.upper().endswith(suffix):
            return name[: -len(suffix)] or None
    return None
