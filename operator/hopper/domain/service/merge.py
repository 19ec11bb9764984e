"""Template + overrides → the effective service, with where each value came from.

Pure: nothing that goes in is changed. Entries replace or add by their key, `$remove` takes one away; the result is in
the order of the keys, so the order in which entries were written never matters.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

from hopper.api.service import EnvEntry, Overrides
from hopper.api.template import TemplateSpec
from hopper.domain.service.problem import Origin, ServiceProblem

HEALTHCHECK = "healthcheck"


@dataclass(frozen=True, slots=True)
class ListKind:
    """One of the kinds that are lists: its field, its name on the wire, and what its entries are merged by."""

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
    """The service that an instance runs.

    `spec` has the form of a template: the seven kinds merged, everything else as the template has it. `overridden` and
    `removed` hold paths of entries, such as `env[TZ]`; `missed` those to be removed that the template does not have;
    `kept_secret` those whose secrecy the template has decided.
    `problems` are those that only the merge can see.
    """

    spec: TemplateSpec
    overridden: frozenset[str] = frozenset()
    removed: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    kept_secret: frozenset[str] = frozenset()
    problems: tuple[ServiceProblem, ...] = ()

    def origin(self, entry: str) -> Origin:
        """Tell where an entry comes from, given its path."""
        return Origin.OVERRIDE if entry in self.overridden else Origin.TEMPLATE

    @property
    def provenance(self) -> Mapping[str, Origin]:
        """Map the path of every value, such as `env[TZ].value`, to where it comes from."""
        return {path: origin for path, _, origin in self.values()}

    def values(self) -> Iterator[tuple[str, Any, Origin]]:
        """Yield every value with its path and where it comes from; those that are secret as they are."""
        return _values_of(self)


def merge(template: TemplateSpec, overrides: Overrides | None) -> EffectiveService:
    """Apply the overrides to the template.

    An override replaces the whole entry with its key. One thing is inherited: a variable that the template keeps secret
    stays secret under a new value, unless the override itself says `secret: false`.
    """
    overrides = overrides or Overrides()
    changes: dict[str, Any] = {}
    notes = _Notes()
    for kind in LIST_KINDS:
        base = _by_key(kind, getattr(template, kind.field), Origin.TEMPLATE, notes)
        above = _by_key(kind, getattr(overrides, kind.field), Origin.OVERRIDE, notes)
        changes[kind.field] = tuple(_merged(kind, base, above, notes))
    changes[HEALTHCHECK] = _healthcheck(template, overrides, notes)
    return EffectiveService(
        spec=replace(template, **changes),
        overridden=frozenset(notes.overridden),
        removed=tuple(notes.removed),
        missed=tuple(notes.missed),
        kept_secret=frozenset(notes.kept_secret),
        problems=tuple(notes.problems),
    )


def with_secrecy(overrides: Overrides, template: TemplateSpec) -> Overrides:
    """Return the overrides with those variables marked as secret that are so because the template keeps them secret."""
    base = {entry.name: entry for entry in template.env}
    marked = (replace(own, secret=True) if _inherits_secrecy(base.get(own.name), own) else own for own in overrides.env)
    return replace(overrides, env=tuple(marked))


class _Notes:
    """What is learnt on the way."""

    def __init__(self) -> None:
        self.overridden: list[str] = []
        self.removed: list[str] = []
        self.missed: list[str] = []
        self.kept_secret: list[str] = []
        self.problems: list[ServiceProblem] = []


def _by_key(kind: ListKind, entries: tuple[Any, ...], origin: Origin, notes: _Notes) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for entry in entries:
        key = kind.key(entry)
        if key in found:
            notes.problems.append(ServiceProblem(kind.path(entry), "is there twice: remove one of the two", origin))
        found[key] = entry
    return found


def _merged(kind: ListKind, base: dict[Any, Any], above: dict[Any, Any], notes: _Notes) -> Iterator[Any]:
    for key in sorted(base | above):
        inherited, own = base.get(key), above.get(key)
        if inherited is not None and inherited.remove:
            notes.problems.append(_nothing_to_remove(kind.path(inherited)))
            inherited = None
        if own is None:
            if inherited is not None:
                yield inherited
        elif own.remove:
            (notes.missed if inherited is None else notes.removed).append(kind.path(own))
        else:
            notes.overridden.append(kind.path(own))
            yield _with_secrecy(inherited, own, notes) if isinstance(own, EnvEntry) else own


def _with_secrecy(inherited: EnvEntry | None, own: EnvEntry, notes: _Notes) -> EnvEntry:
    if not _inherits_secrecy(inherited, own):
        return own
    notes.kept_secret.append(f"env[{own.name}]")
    return replace(own, secret=True)


def _inherits_secrecy(inherited: EnvEntry | None, own: EnvEntry) -> bool:
    return inherited is not None and bool(inherited.secret) and own.secret is None and own.value is not None


def _healthcheck(template: TemplateSpec, overrides: Overrides, notes: _Notes) -> Any:
    inherited, own = template.healthcheck, overrides.healthcheck
    if inherited is not None and inherited.remove:
        notes.problems.append(_nothing_to_remove(HEALTHCHECK))
        inherited = None
    if own is None:
        return inherited
    if own.remove:
        (notes.missed if inherited is None else notes.removed).append(HEALTHCHECK)
        return None
    notes.overridden.append(HEALTHCHECK)
    return own


def _nothing_to_remove(path: str) -> ServiceProblem:
    return ServiceProblem(path, "$remove takes an inherited entry away, and a template inherits none: delete the entry")


def _values_of(effective: EffectiveService) -> Iterator[tuple[str, Any, Origin]]:
    spec = effective.spec
    lists = {kind.field for kind in LIST_KINDS}
    for field, wire, default in _fields(type(spec)):
        if field not in lists and field != HEALTHCHECK:
            yield from _leaves(wire, getattr(spec, field), default, Origin.TEMPLATE)
    for kind in LIST_KINDS:
        for entry in getattr(spec, kind.field):
            path = kind.path(entry)
            for where, value, origin in _entry(path, entry, effective.origin(path)):
                inherited = path in effective.kept_secret and where == f"{path}.secret"
                yield where, value, Origin.TEMPLATE if inherited else origin
    if spec.healthcheck is not None:
        yield from _entry(HEALTHCHECK, spec.healthcheck, effective.origin(HEALTHCHECK))


def _entry(path: str, entry: Any, origin: Origin) -> Iterator[tuple[str, Any, Origin]]:
    for field, wire, default in _fields(type(entry)):
        yield from _leaves(f"{path}.{wire}", getattr(entry, field), default, origin)


def _leaves(path: str, value: Any, default: Any, origin: Origin) -> Iterator[tuple[str, Any, Origin]]:
    """Yield the leaves below a value. What equals its default counts as that: the API server writes defaults out."""
    if is_dataclass(value):
        yield from _entry(path, value, origin)
    elif value is not None:
        yield path, value, Origin.DEFAULT if value == default else origin


def _fields(record: type[Any]) -> tuple[tuple[str, str, Any], ...]:
    """List name, wire name and default of each field."""
    wire = record.__pydantic_fields__
    return tuple(
        (field.name, wire[field.name].alias or field.name, None if field.default is MISSING else field.default)
        for field in fields(record)
    )
