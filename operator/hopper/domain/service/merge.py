"""Merge of a template and overrides into the effective service, with the origin of each value.

An override replaces, adds or removes an entry of the template with the same key. The merged entries are sorted by key,
so the order of entries in the template and in the overrides does not matter. The inputs are not changed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from typing import Any

from hopper.api.service import EnvEntry, Healthcheck, Overrides
from hopper.api.template import TemplateSpec

HEALTHCHECK = "healthcheck"


class Origin(StrEnum):
    """Origin of a value."""

    TEMPLATE = "template"
    OVERRIDE = "override"
    DEFAULT = "default"
    INSTANCE = "instance"
    INHERITED = "inherited"


_FIELD_PREFIXES = {Origin.OVERRIDE: "spec.overrides.", Origin.INSTANCE: "spec."}


@dataclass(frozen=True, slots=True)
class ServiceProblem:
    """Reason why a service cannot run or must not run.

    `field` is a path such as `env[TZ].value`. `message` has the form `<what is wrong with the field>: <what to do>`.
    Neither contains the value of an environment variable, which may be secret.
    """

    field: str
    message: str
    origin: Origin = Origin.TEMPLATE

    def __str__(self) -> str:
        """Return the full path of the field in its template or instance, followed by the message."""
        return f"{_FIELD_PREFIXES.get(self.origin, 'template: spec.')}{self.field}: {self.message}"


@dataclass(frozen=True, slots=True)
class ListKind:
    """Override kind that is a list: Python field, wire name, and the key that identifies an entry."""

    field: str
    wire: str
    key: Callable[[Any], tuple[str | int, ...]]

    def path(self, entry: Any) -> str:
        """Return the path of an entry, such as `ports[80/TCP]`."""
        return f"{self.wire}[{'/'.join(map(str, self.key(entry)))}]"


LIST_KINDS = (
    ListKind("ports", "ports", lambda entry: (entry.container_port, entry.protocol.value)),
    ListKind("volumes", "volumes", lambda entry: (entry.target,)),
    ListKind("env", "env", lambda entry: (entry.name,)),
    ListKind("labels", "labels", lambda entry: (entry.name,)),
    ListKind("domains", "domains", lambda entry: (entry.domain,)),
    ListKind("config_files", "configFiles", lambda entry: (entry.path,)),
)


@dataclass(frozen=True, slots=True)
class EffectiveService:
    """Service that an instance runs: the template with its overrides applied.

    `spec` has the form of a template spec. The other fields hold entry paths such as `env[TZ]`:
    `overridden` entries come from an override, and `removed` entries are template entries that a `$remove` deleted.
    `unmatched_removals` are `$remove` entries without a template entry of that key.
    `inherited_secrets` are variables that are secret because the template says so.
    `problems` are the problems that only the merge can detect, such as duplicate keys.
    """

    spec: TemplateSpec
    overridden: frozenset[str] = frozenset()
    removed: tuple[str, ...] = ()
    unmatched_removals: tuple[str, ...] = ()
    inherited_secrets: frozenset[str] = frozenset()
    problems: tuple[ServiceProblem, ...] = ()

    def origin(self, entry_path: str) -> Origin:
        """Return the origin of the entry at a path such as `env[TZ]`."""
        return Origin.OVERRIDE if entry_path in self.overridden else Origin.TEMPLATE

    @property
    def provenance(self) -> Mapping[str, Origin]:
        """Origin of every value, by path such as `env[TZ].value`."""
        return {path: origin for path, _, origin in self.values()}

    def values(self) -> Iterator[tuple[str, Any, Origin]]:
        """Yield path, value and origin of every value. Secret values are not masked."""
        return _values_with_origin(self)


def merge(template: TemplateSpec, overrides: Overrides | None) -> EffectiveService:
    """Apply the overrides to the template.

    An override replaces the whole template entry with the same key. Secrecy is the exception: a variable that is secret
    in the template stays secret unless the override sets `secret: false`.
    """
    overrides = overrides or Overrides()
    merged: dict[str, Any] = {}
    record = _MergeRecord()
    for kind in LIST_KINDS:
        template_entries = _by_key(kind, getattr(template, kind.field), Origin.TEMPLATE, record)
        override_entries = _by_key(kind, getattr(overrides, kind.field), Origin.OVERRIDE, record)
        merged[kind.field] = tuple(_merge_entries(kind, template_entries, override_entries, record))
    merged[HEALTHCHECK] = _merge_healthcheck(template, overrides, record)
    return EffectiveService(
        spec=replace(template, **merged),
        overridden=frozenset(record.overridden),
        removed=tuple(record.removed),
        unmatched_removals=tuple(record.unmatched_removals),
        inherited_secrets=frozenset(record.inherited_secrets),
        problems=tuple(record.problems),
    )


def mark_inherited_secrets(overrides: Overrides, template: TemplateSpec) -> Overrides:
    """Return the overrides with `secret: true` on each variable that is secret because of the template."""
    in_template = {entry.name: entry for entry in template.env}
    marked = (
        replace(entry, secret=True) if _inherits_secrecy(in_template.get(entry.name), entry) else entry
        for entry in overrides.env
    )
    return replace(overrides, env=tuple(marked))


@dataclass(slots=True)
class _MergeRecord:
    """Entry paths and problems collected during a merge. The fields are those of `EffectiveService`."""

    overridden: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unmatched_removals: list[str] = field(default_factory=list)
    inherited_secrets: list[str] = field(default_factory=list)
    problems: list[ServiceProblem] = field(default_factory=list)


def _by_key(kind: ListKind, entries: tuple[Any, ...], origin: Origin, record: _MergeRecord) -> dict[Any, Any]:
    by_key: dict[Any, Any] = {}
    for entry in entries:
        key = kind.key(entry)
        if key in by_key:
            record.problems.append(ServiceProblem(kind.path(entry), "is listed twice: remove one of the two", origin))
        by_key[key] = entry
    return by_key


def _merge_entries(
    kind: ListKind, template_entries: dict[Any, Any], override_entries: dict[Any, Any], record: _MergeRecord
) -> Iterator[Any]:
    for key in sorted(template_entries | override_entries):
        inherited, override = template_entries.get(key), override_entries.get(key)
        if inherited is not None and inherited.remove:
            record.problems.append(_remove_in_template(kind.path(inherited)))
            inherited = None
        if override is None:
            if inherited is not None:
                yield inherited
        elif override.remove:
            (record.unmatched_removals if inherited is None else record.removed).append(kind.path(override))
        else:
            record.overridden.append(kind.path(override))
            yield _inherit_secrecy(inherited, override, record) if isinstance(override, EnvEntry) else override


def _inherit_secrecy(inherited: EnvEntry | None, override: EnvEntry, record: _MergeRecord) -> EnvEntry:
    if not _inherits_secrecy(inherited, override):
        return override
    record.inherited_secrets.append(f"env[{override.name}]")
    return replace(override, secret=True)


def _inherits_secrecy(inherited: EnvEntry | None, override: EnvEntry) -> bool:
    if inherited is None or not inherited.secret:
        return False
    return override.secret is None and override.value is not None


def _merge_healthcheck(template: TemplateSpec, overrides: Overrides, record: _MergeRecord) -> Healthcheck | None:
    inherited, override = template.healthcheck, overrides.healthcheck
    if inherited is not None and inherited.remove:
        record.problems.append(_remove_in_template(HEALTHCHECK))
        inherited = None
    if override is None:
        return inherited
    if override.remove:
        (record.unmatched_removals if inherited is None else record.removed).append(HEALTHCHECK)
        return None
    record.overridden.append(HEALTHCHECK)
    return override


def _remove_in_template(path: str) -> ServiceProblem:
    return ServiceProblem(path, "has $remove, which only works in overrides of an instance: delete the entry")


def _values_with_origin(effective: EffectiveService) -> Iterator[tuple[str, Any, Origin]]:
    spec = effective.spec
    merged_fields = {HEALTHCHECK, *(kind.field for kind in LIST_KINDS)}
    for name, wire, default in _wire_fields(type(spec)):
        if name not in merged_fields:
            yield from _leaf_values(wire, getattr(spec, name), default, Origin.TEMPLATE)
    for kind in LIST_KINDS:
        for entry in getattr(spec, kind.field):
            entry_path = kind.path(entry)
            for path, value, origin in _entry_values(entry_path, entry, effective.origin(entry_path)):
                is_inherited = entry_path in effective.inherited_secrets and path == f"{entry_path}.secret"
                yield path, value, Origin.TEMPLATE if is_inherited else origin
    if spec.healthcheck is not None:
        yield from _entry_values(HEALTHCHECK, spec.healthcheck, effective.origin(HEALTHCHECK))


def _entry_values(path: str, entry: Any, origin: Origin) -> Iterator[tuple[str, Any, Origin]]:
    for name, wire, default in _wire_fields(type(entry)):
        yield from _leaf_values(f"{path}.{wire}", getattr(entry, name), default, origin)


def _leaf_values(path: str, value: Any, default: Any, origin: Origin) -> Iterator[tuple[str, Any, Origin]]:
    """Yield the leaf values at and below a path.

    A value equal to its default has the origin DEFAULT, because the API server adds defaults to stored objects.
    """
    if is_dataclass(value):
        yield from _entry_values(path, value, origin)
    elif value is not None:
        yield path, value, Origin.DEFAULT if value == default else origin


def _wire_fields(record: type[Any]) -> tuple[tuple[str, str, Any], ...]:
    """Return name, wire name and default of each field of a record."""
    wire = record.__pydantic_fields__
    return tuple(
        (entry.name, wire[entry.name].alias or entry.name, None if entry.default is MISSING else entry.default)
        for entry in fields(record)
    )
