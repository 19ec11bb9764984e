"""Conversion of `labels` into labels, and of the routing rules of reverse proxies in them into domains."""

from typing import Any

from pydantic import ValidationError

from hopper.api.names import GROUP
from hopper.api.service import DomainEntry, LabelEntry
from hopper.compose.project import ComposeProject
from hopper.compose.reading.dotenv import parse_env_file
from hopper.compose.reading.file_readers import UnreadableFileError
from hopper.compose.reading.merge import parse_assignments
from hopper.compose.reading.tracked_text import as_text, tracked_secrets
from hopper.compose.report import shorten_key
from hopper.compose.secret_detection import is_secret_name, is_secret_text, is_trivial_value
from hopper.compose.section import Section
from hopper.compose.services.environment import MAX_ENV_FILE, ServiceEnvironment
from hopper.compose.services.proxy_hosts import ProxyHosts, find_proxy_hosts

MAX_LABELS = 64
MAX_DOMAINS = 32
_ADVICE = "Kubernetes labels are short; put longer texts into an annotation or a variable"


def convert_labels(
    section: Section,
    deploy: Section | None,
    environment: ServiceEnvironment,
    project: ComposeProject,
    secret_values: tuple[str, ...],
) -> tuple[tuple[LabelEntry, ...], tuple[DomainEntry, ...]]:
    """Return labels and domains. Labels that Kubernetes does not accept are reported."""
    values: dict[str, str] = {}
    for key, raw in (
        ("label_file", _read_label_files(section, project)),
        ("deploy.labels", deploy.take("labels") if deploy else None),
        ("labels", section.take("labels")),
    ):
        values |= _parse_labels(key, raw, section)
    hosts = find_proxy_hosts(values, environment.plain)
    domains = _build_domains(hosts, section)
    labels: list[LabelEntry] = []
    for name, value in values.items():
        if name in hosts.used_labels:
            continue
        entry = _build_label(name, value, section, secret_values)
        if entry and len(labels) >= MAX_LABELS:
            message = f"the service has more than {MAX_LABELS} labels"
            section.reporter.dropped(f"labels.{shorten_key(name)}", message, _ADVICE)
        elif entry:
            labels.append(entry)
    return tuple(labels), domains


def _parse_labels(key: str, raw: Any, section: Section) -> dict[str, str]:
    labels = parse_assignments(raw) if raw is not None else {}
    if labels is None:
        section.reporter.problem(key, "the value is neither a mapping nor a list", "write `name: value` lines")
        return {}
    return {name: as_text(value) for name, value in labels.items() if not isinstance(value, dict | list)}


def _read_label_files(section: Section, project: ComposeProject) -> dict[str, str]:
    raw = section.take("label_file")
    result: dict[str, str] = {}
    for path in raw if isinstance(raw, list) else [] if raw is None else [raw]:
        try:
            text = project.read(as_text(path), MAX_ENV_FILE).content
        except UnreadableFileError as error:
            section.reporter.dropped("label_file", f"{as_text(path)} {error}", "Create it and import again")
        else:
            result |= {name: value or "" for name, value in parse_env_file(text, project.variables).variables.items()}
    return result


def _build_label(name: str, value: str, section: Section, secret_values: tuple[str, ...]) -> LabelEntry | None:
    """Return a label, or None if Kubernetes does not accept it or it contains a secret, which is reported."""
    key = f"labels.{shorten_key(name)}"
    if name.startswith(f"{GROUP}/"):
        message = f"labels with the prefix {GROUP}/ are reserved for Hopper"
        section.reporter.dropped(key, message, "Use another name")
        return None
    if _is_secret(name, value, secret_values):
        section.reporter.dropped(key, "its value contains a secret", "Keep it in a Secret")
        return None
    try:
        return LabelEntry(name=name, value=str(value))
    except ValidationError as error:
        part = "name" if any("name" in problem["loc"] for problem in error.errors()) else "value"
        section.reporter.dropped(key, f"its {part} is not valid in a Kubernetes label", _ADVICE)
        return None


def _is_secret(name: str, value: str, secret_values: tuple[str, ...]) -> bool:
    """Whether a label contains a secret, such as the API key of a widget on a dashboard."""
    if tracked_secrets(value) or is_secret_text(value) or any(secret in value for secret in secret_values):
        return True
    return is_secret_name(name.rpartition("/")[2]) and not is_trivial_value(value)


def _build_domains(hosts: ProxyHosts, section: Section) -> tuple[DomainEntry, ...]:
    """Return a domain for each host name, and report rules that contain more or less than host names."""
    result: dict[str, DomainEntry] = {}
    for host in hosts.hosts:
        try:
            entry = DomainEntry(domain=host.name.lower(), proxy_port=host.port)
        except ValidationError:
            message = "it contains no complete host name"
            section.reporter.dropped(host.key, message, "Add the domain to the template")
            continue
        if entry.domain in result:
            continue
        if len(result) >= MAX_DOMAINS:
            message = f"the service has more than {MAX_DOMAINS} domains"
            section.reporter.dropped(host.key, message, "Create an Ingress yourself")
            continue
        result[entry.domain] = entry
        section.reporter.changed(host.key, f"it became the domain {entry.domain}")
    for key in hosts.rules_with_conditions:
        advice = "Create an Ingress yourself if paths or middlewares matter"
        section.reporter.dropped(key, "the rule has conditions other than host names", advice)
    for key in hosts.rules_without_host:
        section.reporter.dropped(key, "the rule contains no host name", "Add the domain to the template")
    return tuple(result.values())
