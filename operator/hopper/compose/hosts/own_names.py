"""Where a service names itself: a pod does not know its compose name, and needs no name to reach itself."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hopper.api.service import Healthcheck
from hopper.compose.hosts.mentions import Mention, replaced, replaced_words, says_where_to_listen
from hopper.compose.hosts.references import Kind, Reference
from hopper.compose.report import Report
from hopper.compose.services.service import ConvertedService

_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - within a pod
_LOCALHOST = "localhost"
# Whom a Kafka broker asks before it is Ready, itself among them.
_ASKED_AT_START = re.compile(r"quorum[_.]?voters", re.IGNORECASE)


def without_own_names(
    references: Iterable[Reference], services: Sequence[ConvertedService], files: Mapping[str, str], report: Report
) -> list[ConvertedService]:
    """Return services that listen on all their addresses, and whose healthchecks look on localhost.

    Their Service would not do: nothing can listen on its address, and it leads nowhere before the pod is Ready, which
    that is not before the healthcheck has passed. `files` are the compose files, by the services' object names.
    """
    own: dict[str, list[Reference]] = {}
    for one in references:
        if one.is_own:
            own.setdefault(one.service, []).append(one)
    result = []
    for service in services:
        mine = own.get(service.name, ())
        about = report.about(files[service.name], service.service)
        if checked := [one for one in mine if one.place.kind is Kind.HEALTHCHECK]:
            service = _checked_on_localhost(service, checked)
            about.changed("healthcheck.test", "it looks on localhost now, as a pod does not know its compose name")
        if listening := [one for one in mine if says_where_to_listen(_said(one, service))]:
            service = _with_own_host(service, listening, _ALL_ADDRESSES)
            keys = ", ".join(dict.fromkeys(str(one.place) for one in listening))
            about.changed(keys, f"it listens on {_ALL_ADDRESSES} now, as a pod does not know its compose name")
        if asked := [one for one in mine if _ASKED_AT_START.search(_said(one, service))]:
            service = _with_own_host(service, asked, _LOCALHOST)
            keys = ", ".join(dict.fromkeys(str(one.place) for one in asked))
            about.changed(keys, f"it is {_LOCALHOST} to itself, as its Service leads nowhere before it is Ready")
        result.append(service)
    return result


def _said(reference: Reference, service: ConvertedService) -> str:
    """Return the variable, or the option, that a host belongs to."""
    spec, of = service.spec, reference.place.of
    match reference.place.kind:
        case Kind.VARIABLE:
            return str(of)
        case Kind.ENTRYPOINT | Kind.COMMAND as kind:
            words = (spec.command if kind is Kind.ENTRYPOINT else spec.args) or ()
            return " ".join(words[max(int(of) - 1, 0) : int(of) + 1])
        case _:
            return ""


def _checked_on_localhost(service: ConvertedService, found: Sequence[Reference]) -> ConvertedService:
    check = service.spec.healthcheck or Healthcheck()
    test = replaced_words(check.test, _with_host(_LOCALHOST, found))
    return replace(service, spec=replace(service.spec, healthcheck=replace(check, test=test)))


def _with_own_host(service: ConvertedService, found: Sequence[Reference], host: str) -> ConvertedService:
    spec = service.spec
    variables: dict[str, list[tuple[Mention, str]]] = {}
    for one in found:
        if one.place.kind is Kind.VARIABLE:
            variables.setdefault(str(one.place.of), []).append((one.mention, _at(host, one.mention)))
    words = {
        kind: _with_host(host, [one for one in found if one.place.kind is kind])
        for kind in (Kind.ENTRYPOINT, Kind.COMMAND)
    }
    spec = replace(
        spec,
        env=tuple(
            replace(entry, value=replaced(entry.value or "", variables[entry.name]))
            if entry.name in variables
            else entry
            for entry in spec.env
        ),
        command=replaced_words(spec.command, words[Kind.ENTRYPOINT]) if spec.command else spec.command,
        args=replaced_words(spec.args, words[Kind.COMMAND]) if spec.args else spec.args,
    )
    return replace(service, spec=spec)


def _with_host(host: str, found: Iterable[Reference]) -> list[tuple[int, Mention, str]]:
    return [(int(one.place.of), one.mention, _at(host, one.mention)) for one in found]


def _at(host: str, mention: Mention) -> str:
    return mention.at(host, mention.port if mention.is_written else None)
