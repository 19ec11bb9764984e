"""Conversion of `environment` and `env_file` into plain variables and variables in the Secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from hopper.api.names import RESERVED_ENV
from hopper.api.service import EnvEntry
from hopper.compose.project import ComposeProject
from hopper.compose.reading.dotenv import parse_env_file
from hopper.compose.reading.file_readers import UnreadableFileError
from hopper.compose.reading.interpolation import VariableUse, report_variable_uses
from hopper.compose.reading.merge import parse_assignments
from hopper.compose.reading.short_syntax import parse_boolean
from hopper.compose.reading.tracked_text import TrackedText, as_text, is_blank, tracked_secrets, unresolved_variables
from hopper.compose.report import shorten_key
from hopper.compose.secret_detection import is_secret_name, is_secret_value, is_trivial_value
from hopper.compose.section import Section
from hopper.compose.services.secret_extraction import find_secrets_in_script
from hopper.compose.services.service_secret import escape_references

MAX_ENV_FILE = 256 * 1024
MAX_ENTRIES = 1024
MAX_VALUE = 32768


@dataclass(slots=True)
class ServiceEnvironment:
    """Variables of a service, split into plain and secret ones."""

    plain: dict[str, str] = field(default_factory=dict)
    secret: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        return {*self.plain, *self.secret}


def read_environment(section: Section, project: ComposeProject) -> ServiceEnvironment:
    """Return all variables of a service; `environment` takes precedence over `env_file`."""
    raw = section.take("environment")
    assignments = parse_assignments(raw) if raw is not None else {}
    if assignments is None:
        section.reporter.problem(
            "environment", "the value is neither a mapping nor a list", "write `NAME: value` lines"
        )
        assignments = {}
    own = {
        name: _inherited_value(name, project, section) if value is None else _scalar_text(name, value, section)
        for name, value in assignments.items()
    }
    environment = ServiceEnvironment()
    for name, value in (_read_env_files(section, project, own) | own).items():
        if value is not None and _is_usable(name, value, section):
            _add_variable(environment, name, value, section)
    return environment


def build_env_entries(
    environment: ServiceEnvironment, references: Mapping[str, EnvEntry], section: Section
) -> list[EnvEntry]:
    """Return the entries for the template. `references` are the variables in the Secret."""
    defined_names = environment.names | references.keys()
    plain = {
        name: EnvEntry(name=name, value=escape_references(value, defined_names))
        for name, value in environment.plain.items()
    }
    entries = [*(plain | dict(references)).values()]
    for entry in entries[MAX_ENTRIES:]:
        message = f"the service has more than {MAX_ENTRIES} variables"
        section.reporter.dropped(f"environment.{entry.name}", message, "Put the rest into a ConfigMap of your own")
    return entries[:MAX_ENTRIES]


def _add_variable(environment: ServiceEnvironment, name: str, value: str, section: Section) -> None:
    if not _is_secret(name, value):
        environment.plain[name] = value
        return
    environment.secret[name] = value
    if unresolved_variables(value):
        message, advice = "its value in the Secret is incomplete", "Fill in the value in the Secret before you apply it"
        section.reporter.changed(f"environment.{shorten_key(name)}", message, advice)


def _is_secret(name: str, value: str) -> bool:
    if any(not is_trivial_value(secret) for secret in tracked_secrets(value)):
        return True
    if any(map(is_secret_name, unresolved_variables(value))):
        return True
    if is_secret_name(name) and (not is_trivial_value(value) or is_blank(value)):
        return True
    if is_secret_value(name, value):
        return True
    # Command line options, as in `REDIS_ARGS=--requirepass x`.
    return value.lstrip().startswith("-") and bool(find_secrets_in_script(value))


def _is_usable(name: str, value: str, section: Section) -> bool:
    """Whether Kubernetes accepts a variable; if not, report it."""
    key = f"environment.{shorten_key(name)}"
    try:
        EnvEntry(name=name)
    except ValidationError:
        prefixes = " or ".join(RESERVED_ENV)
        advice = f"Rename it: use letters, digits, _, . and -, and begin with a letter or _, but not with {prefixes}"
        section.reporter.dropped(key, "the name is not allowed for a variable", advice)
        return False
    if len(value) > MAX_VALUE or "\0" in value:
        section.reporter.dropped(key, "the value is too long or contains a null character", "Pass it in a file")
        return False
    return True


def _scalar_text(name: str, value: Any, section: Section) -> str | None:
    if isinstance(value, dict | list):
        fix = "write one value, in quotes if it is JSON"
        section.reporter.problem(f"environment.{shorten_key(name)}", "the value is a mapping or a list", fix)
        return None
    return as_text(value)


def _inherited_value(name: str, project: ComposeProject, section: Section) -> str | None:
    """Return the value of a variable that the file names without a value, or None if it is not set anywhere."""
    value = project.variables.get(name)
    key = f"environment.{shorten_key(name)}"
    if value is None and shorten_key(name) != name:
        section.reporter.dropped(key, "the entry is neither a name nor an assignment", "Write it as NAME=value")
    elif value is None:
        message = "the variable has no value in the file or outside, so it is not set, as with docker compose"
        advice = "If it is needed, set it in .env beside the compose file, or import with --env to use your environment"
        section.reporter.note(key, message, advice)
    return value


def _read_env_files(section: Section, project: ComposeProject, own: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables of all files in `env_file`.

    Values may refer to variables of earlier files, of the project, and of the service itself (`own`).
    """
    result: dict[str, str] = {}
    outside = {**{name: value for name, value in own.items() if value is not None}, **project.variables}
    entries = section.take("env_file")
    for entry in entries if isinstance(entries, list) else [entries]:
        details = Section(entry if isinstance(entry, dict) else {"path": entry}, section.reporter, "env_file")
        path, required, form = details.take("path"), details.take("required"), details.take("format")
        details.close()
        if path is None or is_blank(path):
            continue
        try:
            text = project.read(as_text(path), MAX_ENV_FILE).content
        except UnreadableFileError as error:
            _report_unreadable(as_text(path), error, section, is_optional=parse_boolean(required) is False)
            continue
        parsed = parse_env_file(text, outside, before=result, raw=form == "raw")
        for line in parsed.invalid_lines:
            message = f"line {line} of {as_text(path)} is not an assignment"
            section.reporter.dropped("env_file", message, "Correct the line")
        variables = {name: value for name, value in parsed.variables.items() if value is not None}
        report_variable_uses(
            (
                VariableUse(("services", str(section.reporter.service), "environment", name), value)
                for name, value in variables.items()
                if isinstance(value, TrackedText) and name not in own
            ),
            section.reporter,
        )
        result |= variables
    return result


def _report_unreadable(path: str, error: UnreadableFileError, section: Section, *, is_optional: bool) -> None:
    if is_optional and str(error) == "is missing":
        section.reporter.note("env_file", f"the optional file {path} is missing")
    else:
        advice = "Create it and import again, or set its variables in the template"
        section.reporter.dropped("env_file", f"the file {path} {error}", advice)
