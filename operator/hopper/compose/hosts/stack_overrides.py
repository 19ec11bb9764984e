"""Overrides that replace compose names by the host names in a stack.

The templates keep the compose names, so that several stacks can use them. The instances override the values that
differ. Commands cannot be overridden: the template reads the host from a variable instead, and the instance overrides
that variable.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from hopper.api.service import ConfigFileEntry, EnvEntry, EnvSource, Healthcheck, KeyRef
from hopper.api.template import TemplateSpec
from hopper.compose.hosts.mentions import HostMention, replace_mentions, replace_mentions_in_words
from hopper.compose.hosts.reachability import (
    find_port_variable,
    override_republished_ports,
    republished_ports,
    service_host,
)
from hopper.compose.hosts.references import (
    HostReference,
    LocationKind,
    ReferenceLocation,
    config_file_texts,
    variable_texts,
)
from hopper.compose.report import Report, Reporter
from hopper.compose.services.config_files import MAX_FILE
from hopper.compose.services.environment import MAX_ENTRIES
from hopper.compose.services.service import ConvertedService


@dataclass(frozen=True, slots=True)
class StackAddresses:
    """Addresses of the services of a stack."""

    services: Mapping[str, ConvertedService]
    stack: str
    prefix: str

    def host(self, name: str) -> str:
        return service_host(name, self.stack, self.prefix)

    def address(self, reference: HostReference) -> str:
        """Return the replacement for a mention. The port is included if it was written, or if it differs now."""
        port, target = reference.mention.port, self.services.get(reference.target)
        offered = republished_ports(target).get(port, port) if port is not None and target else port
        needs_port = reference.mention.has_explicit_port or offered != port
        return reference.mention.render(self.host(reference.target), offered if needs_port else None)


def override_host_names(
    references: Sequence[HostReference],
    services: Sequence[ConvertedService],
    stack: str,
    prefix: str,
    compose_files: Mapping[str, str],
    report: Report,
) -> list[ConvertedService]:
    """Return the services with overrides by which their instances reach each other in a stack.

    `compose_files` holds the labels of the compose files by object name.
    """
    services = override_republished_ports(references, services, compose_files, report)
    addresses = StackAddresses({service.name: service for service in services}, stack, prefix)
    by_service: dict[str, list[HostReference]] = {}
    for reference in references:
        by_service.setdefault(reference.service, []).append(reference)
    result = []
    for service in services:
        reporter = report.reporter_for(compose_files[service.name], service.service)
        own = by_service.get(service.name)
        result.append(_OverrideBuilder(service, addresses, reporter).build(own) if own else service)
    return result


@dataclass(slots=True)
class _OverrideBuilder:
    """Builder of the overrides of one service. `changed_keys` collects the keys to report by target."""

    service: ConvertedService
    addresses: StackAddresses
    reporter: Reporter
    env: dict[str, EnvEntry] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    config_files: list[ConfigFileEntry] = field(default_factory=list)
    healthcheck: Healthcheck | None = None
    changed_keys: dict[str, dict[str, None]] = field(default_factory=dict)

    def build(self, references: Sequence[HostReference]) -> ConvertedService:
        by_location: dict[ReferenceLocation, list[HostReference]] = {}
        for reference in references:
            by_location.setdefault(reference.location, []).append(reference)
        texts = variable_texts(self.service)
        in_commands: list[HostReference] = []
        in_healthcheck: list[HostReference] = []
        for location, found in by_location.items():
            match location.kind:
                case LocationKind.VARIABLE | LocationKind.SECRET:
                    self._override_variable(str(location.key), *texts[str(location.key)], found)
                case LocationKind.ENTRYPOINT | LocationKind.COMMAND:
                    in_commands += found
                case LocationKind.HEALTHCHECK:
                    in_healthcheck += found
                case LocationKind.FILE:
                    self._override_file(str(location.key), found)
        self._override_healthcheck(in_healthcheck)
        spec = self._replace_in_commands(in_commands)
        self._report()
        overrides = replace(
            self.service.overrides,
            env=tuple(self.env.values()),
            config_files=tuple(self.config_files),
            healthcheck=self.healthcheck,
        )
        return replace(self.service, spec=spec, overrides=overrides, override_secrets=self.secrets)

    def _note_change(self, reference: HostReference, key: str) -> None:
        self.changed_keys.setdefault(reference.target, {})[key] = None

    def _report(self) -> None:
        services = self.addresses.services
        for target, keys in self.changed_keys.items():
            name = services[target].service if target in services else target
            host = self.addresses.host(target)
            message = f"the instance overrides the value, because the host name of {name} is {host} in this stack"
            self.reporter.changed(", ".join(keys), message)

    def _replacements(self, references: Iterable[HostReference]) -> list[tuple[HostMention, str]]:
        return [(reference.mention, self.addresses.address(reference)) for reference in references]

    def _override_variable(self, name: str, kind: LocationKind, text: str, references: Sequence[HostReference]) -> None:
        value = replace_mentions(text, self._replacements(references))
        if kind is LocationKind.SECRET:
            self.env[name] = EnvEntry(name=name, value_from=self._add_secret(name, value))
        else:
            self.env[name] = EnvEntry(name=name, value=value)
        for reference in references:
            self._note_change(reference, f"environment.{name}")
            if reference.mention.is_whole_text:
                self._override_port_variable(name, reference)

    def _add_secret(self, key: str, value: str) -> EnvSource:
        """Store a secret value for the overrides, and return the reference to it."""
        self.secrets[key] = value
        return EnvSource(secret_key_ref=KeyRef(name=self.service.override_secret_name(self.addresses.stack), key=key))

    def _override_port_variable(self, host_variable: str, reference: HostReference) -> None:
        """Override the variable for the port that belongs to a variable for a host, such as DB_PORT for DB_HOST."""
        target = self.addresses.services.get(reference.target)
        republished = republished_ports(target) if target else {}
        name, port = find_port_variable(self.service, host_variable)
        if port.isdecimal() and int(port) in republished:
            self.env[name] = EnvEntry(name=name, value=str(republished[int(port)]))
            self._note_change(reference, f"environment.{name}")

    def _override_file(self, path: str, references: Sequence[HostReference]) -> None:
        (file,) = (file for file in self.service.spec.config_files if file.path == path)
        content = replace_mentions(config_file_texts(self.service)[path], self._replacements(references))
        if len(content) > MAX_FILE:
            return
        if file.content_from is not None and (ref := file.content_from.secret_key_ref) is not None:
            self.config_files.append(replace(file, content_from=self._add_secret(ref.key, content)))
        else:
            self.config_files.append(replace(file, content=content))
        for reference in references:
            self._note_change(reference, f"configFiles[{path}]")

    def _override_healthcheck(self, references: Sequence[HostReference]) -> None:
        healthcheck = self.service.spec.healthcheck
        if references and healthcheck is not None:
            replacements = [
                (int(reference.location.key), reference.mention, self.addresses.address(reference))
                for reference in references
            ]
            self.healthcheck = replace(healthcheck, test=replace_mentions_in_words(healthcheck.test, replacements))
            for reference in references:
                self._note_change(reference, "healthcheck.test")

    def _replace_in_commands(self, references: Sequence[HostReference]) -> TemplateSpec:
        """Return the template with variables in place of the hosts in its command lines, and override them."""
        spec = self.service.spec
        texts = {reference: self._mentioned_text(reference) for reference in references}
        variables: dict[str, str] = {}
        for text in texts.values():
            if text not in variables:
                taken = {*variables.values(), *(entry.name for entry in spec.env)}
                variables[text] = _name_address_variable(text, taken)
        if not variables or len(spec.env) + len(variables) > MAX_ENTRIES:
            return spec
        for reference, text in texts.items():
            name = variables[text]
            self.env[name] = EnvEntry(name=name, value=self.addresses.address(reference))
            self._note_change(reference, f"{reference.location} (as $({name}))")
        entrypoint, command = (
            [
                (int(reference.location.key), reference.mention, f"$({variables[text]})")
                for reference, text in texts.items()
                if reference.location.kind is kind
            ]
            for kind in (LocationKind.ENTRYPOINT, LocationKind.COMMAND)
        )
        return replace(
            spec,
            command=replace_mentions_in_words(spec.command, entrypoint) if spec.command else spec.command,
            args=replace_mentions_in_words(spec.args, command) if spec.args else spec.args,
            env=(*spec.env, *(EnvEntry(name=name, value=text) for text, name in variables.items())),
        )

    def _mentioned_text(self, reference: HostReference) -> str:
        """Return the host, with its port if there is one, as it is written in a command line."""
        spec, location, mention = self.service.spec, reference.location, reference.mention
        words = (spec.command if location.kind is LocationKind.ENTRYPOINT else spec.args) or ()
        return words[int(location.key)][mention.start : mention.end]


def _name_address_variable(text: str, taken: Collection[str]) -> str:
    """Return an unused name for the variable that holds an address of a command line."""
    stem = "ADDRESS_OF_" + re.sub(r"[^A-Z0-9]+", "_", text.upper())
    candidates = (f"{stem}_{number}" if number > 1 else stem for number in count(1))
    return next(name for name in candidates if name not in taken)
