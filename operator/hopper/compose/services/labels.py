"""`labels` → labels, and the host names that reverse proxies read from them → domains."""

from typing import Any

from pydantic import ValidationError

from hopper.api.names import GROUP
from hopper.api.service import DomainEntry, LabelEntry
from hopper.compose.errors import UnreadableFileError
from hopper.compose.project import Project
from hopper.compose.reading.dotenv import parse_env
from hopper.compose.reading.merge import as_assignments
from hopper.compose.reading.text import as_text, secrets_in
from hopper.compose.report import shown
from hopper.compose.section import Section
from hopper.compose.services.domains import Hosts, find_hosts
from hopper.compose.services.environment import MAX_ENV_FILE, Environment

MAX_LABELS = 64
MAX_DOMAINS = 32
_ADVICE = "Kubernetes labels are short words; keep longer texts in an annotation or a variable"


def convert_labels(
    section: Section, deploy: Section | None, environment: Environment, project: Project, known: tuple[str, ...]
) -> tuple[tuple[LabelEntry, ...], tuple[DomainEntry, ...]]:
    """Return labels and domains. Labels that no Kubernetes label can be are reported."""
    values: dict[str, str] = {}
    for key, raw in (
        ("label_file", _from_files(section, project)),
        ("deploy.labels", deploy.take("labels") if deploy else None),
        ("labels", section.take("labels")),
    ):
        values |= _texts(key, raw, section)
    hosts = find_hosts(values, environment.plain)
    domains = _domains(hosts, section)
    labels: list[LabelEntry] = []
    for name, value in values.items():
        if name in hosts.understood:
            continue
        entry = _label(name, value, section, known)
        if entry and len(labels) >= MAX_LABELS:
            section.about.dropped(f"labels.{shown(name)}", f"there are more than {MAX_LABELS} labels", _ADVICE)
        elif entry:
            labels.append(entry)
    return tuple(labels), domains


def _texts(key: str, raw: Any, section: Section) -> dict[str, str]:
    found = as_assignments(raw) if raw is not None else {}
    if found is None:
        section.about.problem(key, "this is neither a mapping nor a list", "write `name: value` lines")
        return {}
    return {name: as_text(value) for name, value in found.items() if not isinstance(value, dict | list)}


def _from_files(section: Section, project: Project) -> dict[str, str]:
    raw = section.take("label_file")
    result: dict[str, str] = {}
    for path in raw if isinstance(raw, list) else [] if raw is None else [raw]:
        try:
            text = project.read(as_text(path), MAX_ENV_FILE).content
        except UnreadableFileError as error:
            section.about.dropped("label_file", f"{as_text(path)} {error}", "Put it there and import again")
        else:
            result |= {name: value or "" for name, value in parse_env(text, project.variables).variables.items()}
    return result


def _label(name: str, value: str, section: Section, known: tuple[str, ...]) -> LabelEntry | None:
    key = f"labels.{shown(name)}"
    if name.startswith(f"{GROUP}/"):
        section.about.dropped(key, f"labels below {GROUP}/ are Hopper's own", "Use another name")
        return None
    if secrets_in(value) or any(secret in value for secret in known):
        section.about.dropped(key, "its value holds a secret", "Keep it in a Secret")
        return None
    try:
        return LabelEntry(name=name, value=str(value))
    except ValidationError as error:
        part = "name" if any("name" in problem["loc"] for problem in error.errors()) else "value"
        section.about.dropped(key, f"its {part} is not one that a Kubernetes label can have", _ADVICE)
        return None


def _domains(hosts: Hosts, section: Section) -> tuple[DomainEntry, ...]:
    result: dict[str, DomainEntry] = {}
    for host in hosts.found:
        try:
            entry = DomainEntry(domain=host.name.lower(), proxy_port=host.port)
        except ValidationError:
            section.about.dropped(host.key, "it has no complete host name", "Add the domain to the template")
            continue
        if entry.domain in result:
            continue
        if len(result) >= MAX_DOMAINS:
            section.about.dropped(host.key, f"there are more than {MAX_DOMAINS} domains", "Add an Ingress of your own")
            continue
        result[entry.domain] = entry
        section.about.changed(host.key, f"it became the domain {entry.domain}")
    for key in hosts.incomplete:
        advice = "Add an Ingress of your own if paths or middlewares matter"
        section.about.dropped(key, "of the rule, only host names are carried over", advice)
    for key in hosts.hostless:
        section.about.dropped(key, "the rule names no host", "Add the domain to the template")
    return tuple(result.values())
