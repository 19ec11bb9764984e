"""Variables of a service: `env_file` and `environment`, plain and secret ones apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from hopper.api.service import EnvEntry
from hopper.compose.errors import UnreadableFileError
from hopper.compose.project import Project
from hopper.compose.reading.dotenv import parse_env
from hopper.compose.reading.merge import as_assignments
from hopper.compose.reading.syntax import switch
from hopper.compose.reading.text import Text, as_text, is_blank, secrets_in, unresolved_in
from hopper.compose.reading.variables import Use, report_variables
from hopper.compose.report import shown
from hopper.compose.secret_names import is_secret_name, is_secret_value, is_switch
from hopper.compose.section import Section
from hopper.compose.services.dollars import literal
from hopper.compose.services.hiding import spans_in_script

MAX_ENV_FILE = 256 * 1024
MAX_ENTRIES = 1024
MAX_VALUE = 32768


@dataclass(slots=True)
class Environment:
    """Variables by name. `blank` are secret ones whose value is not known."""

    plain: dict[str, str] = field(default_factory=dict)
    secret: dict[str, str] = field(default_factory=dict)
    blank: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        return {*self.plain, *self.secret}


def read_environment(section: Section, project: Project) -> Environment:
    """Read all variables of a service; `environment` wins over `env_file`."""
    own = section.take("environment")
    given = as_assignments(own) if own is not None else {}
    if given is None:
        section.about.problem("environment", "this is neither a mapping nor a list", "write `NAME: value` lines")
        given = {}
    values = {
        name: _outside(name, project, section) if value is None else _scalar(name, value, section)
        for name, value in given.items()
    }
    result = Environment()
    for name, text in (_from_files(section, project, values) | values).items():
        if text is not None and _is_usable(name, text, section):
            _sort_in(result, name, text, section)
    return result


def env_entries(environment: Environment, references: Mapping[str, EnvEntry], section: Section) -> list[EnvEntry]:
    """Return the entries for the template; `references` are those that a Secret holds."""
    known = environment.names | references.keys()
    plain = {name: EnvEntry(name=name, value=literal(value, known)) for name, value in environment.plain.items()}
    entries = [*(plain | dict(references)).values()]
    for entry in entries[MAX_ENTRIES:]:
        advice = "Put the rest into a ConfigMap of your own"
        section.about.dropped(f"environment.{entry.name}", f"there are more than {MAX_ENTRIES} variables", advice)
    return entries[:MAX_ENTRIES]


def _sort_in(result: Environment, name: str, value: str, section: Section) -> None:
    if not _is_secret(name, value):
        result.plain[name] = value
        return
    result.secret[name] = value
    if unresolved_in(value):
        result.blank.append(name)
        advice = "Fill in the value in the Secret before you apply it"
        section.about.changed(f"environment.{shown(name)}", "the Secret has an incomplete value for it", advice)


def _is_secret(name: str, value: str) -> bool:
    if any(not is_switch(secret) for secret in secrets_in(value)):
        return True
    if any(map(is_secret_name, unresolved_in(value))):
        return True
    if is_secret_name(name) and (not is_switch(value) or is_blank(value)):
        return True
    # Options of a program, as in `REDIS_ARGS=--requirepass x`.
    return is_secret_value(name, value) or (value.lstrip().startswith("-") and bool(spans_in_script(value)))


def _is_usable(name: str, value: str, section: Section) -> bool:
    """Tell whether Kubernetes can take a variable; report it otherwise."""
    key = f"environment.{shown(name)}"
    try:
        EnvEntry(name=name)
    except ValidationError:
        advice = "Rename it: a letter or _ first, then letters, digits, _, . and -"
        section.about.dropped(key, "this is not a name that a variable can have in Kubernetes", advice)
        return False
    if len(value) > MAX_VALUE or "\0" in value:
        section.about.dropped(key, "the value is too long, or is no text", "Pass it in a file")
        return False
    return True


def _scalar(name: str, value: Any, section: Section) -> str | None:
    if isinstance(value, dict | list):
        advice = "write one value, in quotes if it is JSON"
        section.about.problem(f"environment.{shown(name)}", "the value is a mapping or a list", advice)
        return None
    return as_text(value)


def _outside(name: str, project: Project, section: Section) -> str | None:
    """Return the value of a variable that has none of its own, as docker compose does."""
    value = project.variables.get(name)
    if value is None and shown(name) != name:
        advice = "Write it as NAME=value"
        section.about.dropped(f"environment.{shown(name)}", "this is neither a name nor an assignment", advice)
    elif value is None:
        advice = "If it is needed, set it in .env beside the compose file, or let --env take it from the environment"
        message = "it takes its value from outside, where there is none, and is not set, as by docker compose"
        section.about.note(f"environment.{shown(name)}", message, advice)
    return value


def _from_files(section: Section, project: Project, own: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables of the files, whose values may refer to those of files before, and of the service itself."""
    result: dict[str, str] = {}
    outside = {**{name: value for name, value in own.items() if value is not None}, **project.variables}
    entries = section.take("env_file")
    for entry in entries if isinstance(entries, list) else [entries]:
        details = Section(entry if isinstance(entry, dict) else {"path": entry}, section.about, "env_file")
        path, required, form = details.take("path"), details.take("required"), details.take("format")
        details.close()
        if path is None or is_blank(path):
            continue
        try:
            text = project.read(as_text(path), MAX_ENV_FILE).content
        except UnreadableFileError as error:
            if switch(required) is False and str(error) == "is missing":
                section.about.note("env_file", f"the optional file {as_text(path)} is missing")
            else:
                advice = "Put it there and import again, or set its variables in the template"
                section.about.dropped("env_file", f"the file {as_text(path)} {error}", advice)
            continue
        parsed = parse_env(text, outside, before=result, raw=form == "raw")
        for line in parsed.unreadable:
            section.about.dropped("env_file", f"line {line} of {as_text(path)} assigns no variable", "Correct it")
        found = {name: value for name, value in parsed.variables.items() if value is not None}
        report_variables(
            (
                Use(("services", str(section.about.service), "environment", name), value)
                for name, value in found.items()
                if isinstance(value, Text) and name not in own
            ),
            section.about,
        )
        result |= found
    return result
