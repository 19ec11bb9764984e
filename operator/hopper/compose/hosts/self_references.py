"""Replacement of a service's own compose name, which its pod cannot resolve."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hopper.api.service import Healthcheck
from hopper.compose.hosts.mentions import HostMention, is_listen_setting, replace_mentions, replace_mentions_in_words
from hopper.compose.hosts.references import HostReference, LocationKind
from hopper.compose.report import Report
from hopper.compose.services.service import ConvertedService

_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - within a pod
_LOCALHOST = "localhost"
# A Kafka broker connects to all voters, including itself, before it is Ready.
_CONTACTED_AT_START = re.compile(r"quorum[_.]?voters", re.IGNORECASE)


def rewrite_self_references(
    references: Iterable[HostReference],
    services: Sequence[ConvertedService],
    compose_files: Mapping[str, str],
    report: Report,
) -> list[ConvertedService]:
    """Return services that listen on all addresses, and whose healthchecks connect to localhost.

    The name of the Service cannot replace the compose name here. A process cannot listen on the address of the
    Service, and the Service has no endpoints before the pod is Ready, which depends on the healthcheck.
    `compose_files` holds the labels of the compose files by object name.
    """
    by_service: dict[str, list[HostReference]] = {}
    for reference in references:
        if reference.is_self_reference:
            by_service.setdefault(reference.service, []).append(reference)
    result = []
    for service in services:
        own = by_service.get(service.name, ())
        reporter = report.reporter_for(compose_files[service.name], service.service)
        if tested := [reference for reference in own if reference.location.kind is LocationKind.HEALTHCHECK]:
            service = _test_localhost(service, tested)
            message = "the test now connects to localhost, because a pod cannot resolve its own compose name"
            reporter.changed("healthcheck.test", message)
        if listening := [reference for reference in own if is_listen_setting(_setting_of(reference, service))]:
            service = _replace_host(service, listening, _ALL_ADDRESSES)
            message = f"the service now listens on {_ALL_ADDRESSES}, because a pod cannot resolve its own compose name"
            reporter.changed(_join_keys(listening), message)
        if contacted := [reference for reference in own if _CONTACTED_AT_START.search(_setting_of(reference, service))]:
            service = _replace_host(service, contacted, _LOCALHOST)
            message = f"its own address became {_LOCALHOST}, because its Service has no endpoints before it is Ready"
            reporter.changed(_join_keys(contacted), message)
        result.append(service)
    return result


def _join_keys(references: Iterable[HostReference]) -> str:
    return ", ".join(dict.fromkeys(str(reference.location) for reference in references))


def _setting_of(reference: HostReference, service: ConvertedService) -> str:
    """Return the name of the variable, or the words of the option, that a host belongs to."""
    spec, location = service.spec, reference.location
    match location.kind:
        case LocationKind.VARIABLE:
            return str(location.key)
        case LocationKind.ENTRYPOINT | LocationKind.COMMAND as kind:
            words = (spec.command if kind is LocationKind.ENTRYPOINT else spec.args) or ()
            index = int(location.key)
            return " ".join(words[max(index - 1, 0) : index + 1])
        case _:
            return ""


def _test_localhost(service: ConvertedService, references: Sequence[HostReference]) -> ConvertedService:
    healthcheck = service.spec.healthcheck or Healthcheck()
    test = replace_mentions_in_words(healthcheck.test, _replacements(references, _LOCALHOST))
    return replace(service, spec=replace(service.spec, healthcheck=replace(healthcheck, test=test)))


def _replace_host(service: ConvertedService, references: Sequence[HostReference], host: str) -> ConvertedService:
    spec = service.spec
    variables: dict[str, list[tuple[HostMention, str]]] = {}
    for reference in references:
        if reference.location.kind is LocationKind.VARIABLE:
            replacement = reference.mention, _render(reference.mention, host)
            variables.setdefault(str(reference.location.key), []).append(replacement)
    entrypoint, command = (
        _replacements((reference for reference in references if reference.location.kind is kind), host)
        for kind in (LocationKind.ENTRYPOINT, LocationKind.COMMAND)
    )
    spec = replace(
        spec,
        env=tuple(
            replace(entry, value=replace_mentions(entry.value or "", variables[entry.name]))
            if entry.name in variables
            else entry
            for entry in spec.env
        ),
        command=replace_mentions_in_words(spec.command, entrypoint) if spec.command else spec.command,
        args=replace_mentions_in_words(spec.args, command) if spec.args else spec.args,
    )
    return replace(service, spec=spec)


def _replacements(references: Iterable[HostReference], host: str) -> list[tuple[int, HostMention, str]]:
    return [
        (int(reference.location.key), reference.mention, _render(reference.mention, host)) for reference in references
    ]


def _render(mention: HostMention, host: str) -> str:
    return mention.render(host, mention.port if mention.has_explicit_port else None)
