"""Puts the names that services have in a stack in the place of their compose names.

The templates stay as the compose file has them, so that they serve other stacks as well: what differs goes into the
overrides of the instances. Commands cannot be overridden, and so get the name from a variable, which can.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from hopper.api.service import ConfigFileEntry, EnvEntry, EnvSource, Healthcheck, KeyRef
from hopper.api.template import TemplateSpec
from hopper.compose.hosts.mentions import Mention, replaced, replaced_words
from hopper.compose.hosts.own_ports import port_beside, with_own_ports
from hopper.compose.hosts.reachability import address_of, moved_ports
from hopper.compose.hosts.references import Kind, Place, Reference, texts_of_files, texts_of_variables
from hopper.compose.report import Report, Reporter
from hopper.compose.services.config_files import MAX_FILE
from hopper.compose.services.environment import MAX_ENTRIES
from hopper.compose.services.service import ConvertedService


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The services of a stack, and how they are reached in it."""

    services: Mapping[str, ConvertedService]
    stack: str
    prefix: str

    def host(self, name: str) -> str:
        return address_of(name, self.stack, self.prefix)

    def port(self, reference: Reference) -> int | None:
        """Return the port that the Service offers for the one that is meant."""
        port, other = reference.mention.port, self.services.get(reference.other)
        return moved_ports(other).get(port, port) if port is not None and other else port

    def address(self, reference: Reference) -> str:
        """Return what replaces a mention: with a port where there was one, or where it is another one now."""
        port = self.port(reference)
        told = reference.mention.is_written or port != reference.mention.port
        return reference.mention.at(self.host(reference.other), port if told else None)


def with_stack_names(
    references: Sequence[Reference],
    services: Sequence[ConvertedService],
    stack: str,
    prefix: str,
    files: Mapping[str, str],
    report: Report,
) -> list[ConvertedService]:
    """Return the services with overrides for an instance in a stack, by which they reach each other there."""
    services = with_own_ports(references, services, files, report)
    neighbours = Neighbours({service.name: service for service in services}, stack, prefix)
    by_service: dict[str, list[Reference]] = {}
    for reference in references:
        by_service.setdefault(reference.service, []).append(reference)
    result = []
    for service in services:
        about = report.about(files[service.name], service.service)
        mine = by_service.get(service.name)
        result.append(_Rewriting(service, neighbours, about).run(mine) if mine else service)
    return result


@dataclass(slots=True)
class _Rewriting:
    """Of one service. `env`, `secrets` and `config_files` collect what its instance is to override."""

    service: ConvertedService
    neighbours: Neighbours
    about: Reporter
    env: dict[str, EnvEntry] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    config_files: list[ConfigFileEntry] = field(default_factory=list)
    healthcheck: Healthcheck | None = None
    told: dict[str, dict[str, None]] = field(default_factory=dict)

    def run(self, references: Sequence[Reference]) -> ConvertedService:
        by_place: dict[Place, list[Reference]] = {}
        for reference in references:
            by_place.setdefault(reference.place, []).append(reference)
        texts = texts_of_variables(self.service)
        commands: list[Reference] = []
        test: list[Reference] = []
        for place, found in by_place.items():
            match place.kind:
                case Kind.VARIABLE | Kind.SECRET:
                    self._variable(str(place.of), *texts[str(place.of)], found)
                case Kind.ENTRYPOINT | Kind.COMMAND:
                    commands += found
                case Kind.HEALTHCHECK:
                    test += found
                case Kind.FILE:
                    self._file(str(place.of), found)
        self._healthcheck(test)
        spec = self._with_commands(commands)
        self._report()
        overrides = replace(
            self.service.overrides,
            env=tuple(self.env.values()),
            config_files=tuple(self.config_files),
            healthcheck=self.healthcheck,
        )
        return replace(self.service, spec=spec, overrides=overrides, override_secrets=self.secrets)

    def _words_at(self, place: Place) -> str:
        words = self.service.spec.command if place.kind is Kind.ENTRYPOINT else self.service.spec.args
        return (words or ())[int(place.of)]

    def _tell(self, reference: Reference, key: str) -> None:
        self.told.setdefault(reference.other, {})[key] = None

    def _report(self) -> None:
        for other, keys in self.told.items():
            called = self.neighbours.services[other].service if other in self.neighbours.services else other
            message = f"{called} is {self.neighbours.host(other)} in this stack, so the instance overrides the value"
            self.about.changed(", ".join(keys), message)

    def _addresses(self, found: Iterable[Reference]) -> list[tuple[Mention, str]]:
        return [(one.mention, self.neighbours.address(one)) for one in found]

    def _variable(self, name: str, kind: Kind, text: str, found: Sequence[Reference]) -> None:
        self._override(name, kind, replaced(text, self._addresses(found)))
        for one in found:
            self._tell(one, f"environment.{name}")
            if one.mention.alone:
                self._port_beside(name, one)

    def _override(self, name: str, kind: Kind, value: str) -> None:
        if kind is Kind.SECRET:
            self.env[name] = EnvEntry(name=name, value_from=self._kept(name, value))
        else:
            self.env[name] = EnvEntry(name=name, value=value)

    def _kept(self, key: str, value: str) -> EnvSource:
        """Keep a secret for the overrides, and return where it is found."""
        self.secrets[key] = value
        return EnvSource(secret_key_ref=KeyRef(name=self.service.override_secret_name(self.neighbours.stack), key=key))

    def _port_beside(self, name: str, reference: Reference) -> None:
        """Where the port stands in a variable of its own, as in DB_HOST and DB_PORT: change that as well."""
        other = self.neighbours.services.get(reference.other)
        moved = moved_ports(other) if other else {}
        beside, port = port_beside(self.service, name)
        if port.isdecimal() and int(port) in moved:
            self.env[beside] = EnvEntry(name=beside, value=str(moved[int(port)]))
            self._tell(reference, f"environment.{beside}")

    def _file(self, path: str, found: Sequence[Reference]) -> None:
        (file,) = (one for one in self.service.spec.config_files if one.path == path)
        content = replaced(texts_of_files(self.service)[path], self._addresses(found))
        if len(content) > MAX_FILE:
            return
        if file.content_from is not None and (ref := file.content_from.secret_key_ref) is not None:
            self.config_files.append(replace(file, content_from=self._kept(ref.key, content)))
        else:
            self.config_files.append(replace(file, content=content))
        for one in found:
            self._tell(one, f"configFiles[{path}]")

    def _healthcheck(self, found: Sequence[Reference]) -> None:
        check = self.service.spec.healthcheck
        if found and check is not None:
            addresses = [(int(one.place.of), one.mention, self.neighbours.address(one)) for one in found]
            self.healthcheck = replace(check, test=replaced_words(check.test, addresses))
            for one in found:
                self._tell(one, "healthcheck.test")

    def _with_commands(self, found: Sequence[Reference]) -> TemplateSpec:
        """Return the template with variables in the place of the hosts in its command lines."""
        spec = self.service.spec
        written = {one: self._words_at(one.place)[one.mention.start : one.mention.end] for one in found}
        names: dict[str, str] = {}
        for text in written.values():
            if text not in names:
                names[text] = _variable_for(text, {*names.values(), *(entry.name for entry in spec.env)})
        if not names or len(spec.env) + len(names) > MAX_ENTRIES:
            return spec
        for one, text in written.items():
            self.env[names[text]] = EnvEntry(name=names[text], value=self.neighbours.address(one))
            self._tell(one, f"{one.place} (as $({names[text]}))")
        words = {
            kind: [
                (int(one.place.of), one.mention, f"$({names[text]})")
                for one, text in written.items()
                if one.place.kind is kind
            ]
            for kind in (Kind.ENTRYPOINT, Kind.COMMAND)
        }
        return replace(
            spec,
            command=replaced_words(spec.command, words[Kind.ENTRYPOINT]) if spec.command else spec.command,
            args=replaced_words(spec.args, words[Kind.COMMAND]) if spec.args else spec.args,
            env=(*spec.env, *(EnvEntry(name=name, value=text) for text, name in names.items())),
        )


def _variable_for(text: str, taken: Collection[str]) -> str:
    """Return the name of the variable that holds a host, or a host and a port, of a command line."""
    stem = "ADDRESS_OF_" + re.sub(r"[^A-Z0-9]+", "_", text.upper())
    free = (f"{stem}_{number}" if number > 1 else stem for number in count(1))
    return next(name for name in free if name not in taken)
