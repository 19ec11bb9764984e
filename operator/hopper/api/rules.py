"""Rules that need only the object, as CEL: the API server itself refuses what breaks them.

What follows from the scope matrix or from the configuration of the scopes is derived from there. A message names the
field and what to do about it. Rules are kept cheap: the API server counts the worst case that the limits of the schema
allow, and refuses a definition that could become too expensive.
"""

from collections.abc import Iterable

from hopper.api.cel import Refusal, Rule, Rules
from hopper.api.config import SCOPE_CONFIG
from hopper.api.enums import DesiredState, InstanceType, Scope
from hopper.api.names import GLOBAL_NAME
from hopper.api.scopes import SCOPES
from hopper.api.service_rules import service_rules


def instance_rules(spec_fields: Iterable[str]) -> Rules:
    """Return every rule of a HopperInstance, whose spec has these fields."""
    return {
        "": (*_name_rules(), *_parent_name_rules(), _renamed_from_itself()),
        "spec": (
            *_parent_rules(),
            *_renaming_rules(),
            *_config_rules(),
            *_replica_rules(),
            *_archive_rules(spec_fields),
        ),
        "spec.scope": (Rule("self == oldSelf", "scope cannot be changed: delete the instance and create it anew"),),
        "spec.desiredState": _finality_rules(),
        "spec.restartPolicy": (
            Rule(
                "self.backoffSeconds <= self.maxBackoffSeconds",
                "backoffSeconds is longer than maxBackoffSeconds: lower it, or raise maxBackoffSeconds",
                field="backoffSeconds",
            ),
        ),
        "spec.parentRef.name": (_object_name_rule(),),
        "spec.templateRef.name": (_object_name_rule(),),
        "spec.renamedFrom.name": (_object_name_rule(),),
        "spec.renamedFrom.claimPrefix": (
            Rule(None, "claimPrefix is not the beginning of a name: use lower-case letters, digits and -"),
        ),
        **service_rules("spec.overrides"),
    }


def _object_name_rule() -> Rule:
    return Rule(None, "name is not the name of an object: use lower-case letters, digits, - and .")


def _name_rules() -> Iterable[Rule]:
    yield Rule(
        "self.metadata.name.size() <= 63",
        "metadata.name is longer than 63 characters: shorten it, it becomes a label value",
        field="metadata.name",
    )
    yield Rule(
        f"self.spec.scope != '{Scope.GLOBAL}' || self.metadata.name == '{GLOBAL_NAME}'",
        f"metadata.name of a Global instance must be {GLOBAL_NAME}, so that a namespace has only one: rename it",
        field="metadata.name",
    )
    yield Rule(
        f"self.spec.scope == '{Scope.GLOBAL}' || self.metadata.name != '{GLOBAL_NAME}'",
        f"metadata.name {GLOBAL_NAME} is kept for the instance of scope Global: use another name, or set that scope",
        field="metadata.name",
    )


def _parent_name_rules() -> Iterable[Rule]:
    yield Rule(
        "!has(self.spec.parentRef) || self.spec.parentRef.name != self.metadata.name",
        "spec.parentRef.name is the instance itself: name another instance, or remove parentRef",
        field="spec.parentRef.name",
    )


def _renamed_from_itself() -> Rule:
    return Rule(
        "!has(self.spec.renamedFrom) || self.spec.renamedFrom.name != self.metadata.name",
        "spec.renamedFrom.name is the instance itself: name the one that it replaces, or remove renamedFrom",
        field="spec.renamedFrom.name",
    )


def _renaming_rules() -> Iterable[Rule]:
    yield Rule(
        "has(self.renamedFrom) ? has(oldSelf.renamedFrom) && self.renamedFrom == oldSelf.renamedFrom "
        ": !has(oldSelf.renamedFrom)",
        "renamedFrom cannot be changed: leave it as it was when the instance was created",
        Refusal.FORBIDDEN,
        "renamedFrom",
    )
    yield Rule(
        f"!has(self.renamedFrom) || (self.scope != '{Scope.GLOBAL}' && self.renamedFrom.name != '{GLOBAL_NAME}')",
        f"renamedFrom: the Global instance is always called {GLOBAL_NAME}: remove renamedFrom",
        Refusal.FORBIDDEN,
        "renamedFrom",
    )


def _parent_rules() -> Iterable[Rule]:
    """Whether there may be a parent, and, as a Global instance is known by its name, whether it may be that one."""
    for scope, rule in SCOPES.items():
        if not rule.parents:
            yield Rule(
                f"self.scope != '{scope}' || !has(self.parentRef)",
                f"parentRef: {_one(scope)} instance has no parent: remove parentRef",
                Refusal.FORBIDDEN,
                "parentRef",
            )
            continue
        allowed = f"the name of a {_either(rule.parents)} instance"
        if not rule.may_be_root:
            yield Rule(
                f"self.scope != '{scope}' || has(self.parentRef)",
                f"parentRef: {_one(scope)} instance needs a parent: set parentRef.name to {allowed}",
                Refusal.REQUIRED,
                "parentRef",
            )
        absent = f"self.scope != '{scope}' || !has(self.parentRef) || self.parentRef.name"
        if Scope.GLOBAL not in rule.parents:
            yield Rule(
                f"{absent} != '{GLOBAL_NAME}'",
                f"parentRef.name: {_one(scope)} instance cannot live below Global: set it to {allowed}",
                field="parentRef.name",
            )
        elif len(rule.parents) == 1:
            yield Rule(
                f"{absent} == '{GLOBAL_NAME}'",
                f"parentRef.name: {_one(scope)} instance lives below Global or nobody: "
                f"set it to {GLOBAL_NAME}, or remove parentRef",
                field="parentRef.name",
            )


def _config_rules() -> Iterable[Rule]:
    """Refuse each configuration field in the scopes that do not have it."""
    for path in dict.fromkeys(path for config in SCOPE_CONFIG.values() for path in config.fields):
        owners = [scope for scope in Scope if path in SCOPE_CONFIG[scope].fields]
        if len(owners) < len(Scope):
            listed = ", ".join(f"'{scope}'" for scope in owners)
            yield Rule(
                f"{_absent('config', *path.split('.'))} || self.scope in [{listed}]",
                f"config.{path} is a field of scope {_either(owners)} only: remove it",
                Refusal.FORBIDDEN,
                f"config.{path}",
            )


def _replica_rules() -> Iterable[Rule]:
    by_default = [scope for scope, rule in SCOPES.items() if rule.default_type is InstanceType.SINGLETON]
    listed = ", ".join(f"'{scope}'" for scope in by_default)
    single = f"has(self.type) ? self.type == '{InstanceType.SINGLETON}' : self.scope in [{listed}]"
    yield Rule(
        f"self.replicas <= 1 || !({single})",
        f"replicas: a {InstanceType.SINGLETON} has one replica at most: set replicas to 1, or choose another type",
        field="replicas",
    )


def _finality_rules() -> tuple[Rule, ...]:
    final, archived = DesiredState.TERMINATED, DesiredState.ARCHIVED
    return (
        Rule(
            f"oldSelf != '{final}' || self == '{final}'",
            f"desiredState {final} is final: leave it, or delete the instance and create it anew",
            Refusal.FORBIDDEN,
        ),
        Rule(
            f"oldSelf != '{archived}' || self in ['{archived}', '{final}']",
            f"desiredState {archived} changes only to {final}: leave it, or set {final}",
            Refusal.FORBIDDEN,
        ),
    )


# The state, what is said about it, and how long the record is to stay may change; who cannot lift the protection could
# never delete it; and the scope and renamedFrom have rules of their own.
_OPEN_WHILE_ARCHIVED = frozenset(
    {"desiredState", "reason", "ttlSecondsAfterFinished", "deletionProtection", "scope", "renamedFrom"}
)


def _archive_rules(spec_fields: Iterable[str]) -> Iterable[Rule]:
    """Close the spec of an archived instance, field by field.

    Equality compares whole values, and so sees what an expression cannot name: what is inside `config.extra`, and the
    `$remove` of an override entry.
    """
    for name in spec_fields:
        if name not in _OPEN_WHILE_ARCHIVED:
            yield Rule(
                f"oldSelf.desiredState != '{DesiredState.ARCHIVED}' || "
                f"(has(self.{name}) ? has(oldSelf.{name}) && self.{name} == oldSelf.{name} : !has(oldSelf.{name}))",
                f"{name} is read-only while the instance is Archived: put back its value, or create another instance",
                Refusal.FORBIDDEN,
                name,
            )


def _absent(*fields: str) -> str:
    """Return the CEL that holds where a nested field is not set."""
    paths = ("self." + ".".join(fields[:end]) for end in range(1, len(fields) + 1))
    return " || ".join(f"!has({path})" for path in paths)


def _one(scope: Scope) -> str:
    return f"{'an' if scope[0] in 'AEIOU' else 'a'} {scope}"


def _either(scopes: Iterable[Scope]) -> str:
    *rest, last = scopes
    return f"{', '.join(rest)} or {last}" if rest else str(last)
