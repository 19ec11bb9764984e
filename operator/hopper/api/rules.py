"""Validation rules that need only the object itself, as CEL expressions that the API server evaluates.

Rules about parents and configuration are derived from the scope matrix. Each message names the field, the problem and
the fix. Expressions must stay cheap, because the API server rejects a CRD if a rule could be too expensive for the
largest object that the schema allows.
"""

from collections.abc import Iterable

from hopper.api.cel import FieldErrorReason, Rule, Rules
from hopper.api.enums import DesiredState, InstanceType, Scope
from hopper.api.names import GLOBAL_NAME
from hopper.api.scopes import SCOPE_CONFIG, SCOPES
from hopper.api.service_rules import service_rules

_OBJECT_NAME = (Rule(None, "name is not a valid object name; use lower-case letters, digits, '-' and '.'"),)
_QUANTITY = (Rule(None, "value is not a quantity; set a number with an optional unit, such as 500m or 256Mi"),)


def instance_rules(spec_fields: Iterable[str]) -> Rules:
    """Return the rules of HopperInstance. `spec_fields` are the fields of its spec."""
    return {
        "": (*_name_rules(), *_self_reference_rules()),
        "spec": (
            *_parent_rules(),
            *_renaming_rules(),
            *_config_rules(),
            *_replica_rules(),
            *_protection_rules(),
            *_archive_rules(spec_fields),
        ),
        "spec.scope": (Rule("self == oldSelf", "scope is immutable; delete the instance and create it again"),),
        "spec.desiredState": _finality_rules(),
        "spec.restartPolicy": (
            Rule(
                "self.backoffSeconds <= self.maxBackoffSeconds",
                "backoffSeconds is greater than maxBackoffSeconds; lower it, or raise maxBackoffSeconds",
                field="backoffSeconds",
            ),
        ),
        "spec.parentRef.name": _OBJECT_NAME,
        "spec.templateRef.name": _OBJECT_NAME,
        "spec.renamedFrom.name": _OBJECT_NAME,
        "spec.renamedFrom.claimPrefix": (
            Rule(None, "claimPrefix is not a valid name prefix; use lower-case letters, digits and '-'"),
        ),
        **service_rules("spec.overrides"),
    }


def template_rules(_: Iterable[str]) -> Rules:
    """Return the rules of HopperTemplate."""
    return {
        "spec.image": (Rule(None, "image is not a valid image name; set one such as nginx:1.27"),),
        "spec.workingDir": (Rule(None, "workingDir is not absolute; start it with '/'"),),
        "spec.user": (Rule(None, "user is not numeric; set a user ID or user:group, such as 1000 or 1000:1000"),),
        "spec.dependsOn[]": (
            Rule(None, "value is not a valid instance name; use lower-case letters, digits, '-' and '.'"),
        ),
        **{f"spec.resources.{kind}.{name}": _QUANTITY for kind in ("requests", "limits") for name in ("cpu", "memory")},
        **service_rules("spec"),
    }


def _name_rules() -> Iterable[Rule]:
    yield Rule(
        "self.metadata.name.size() <= 63",
        "metadata.name is longer than 63 characters, the limit of a label value; use a shorter name",
        field="metadata.name",
    )
    yield Rule(
        f"self.spec.scope != '{Scope.GLOBAL}' || self.metadata.name == '{GLOBAL_NAME}'",
        f"metadata.name of a Global instance must be {GLOBAL_NAME}, so that a namespace has only one; rename it",
        field="metadata.name",
    )
    yield Rule(
        f"self.spec.scope == '{Scope.GLOBAL}' || self.metadata.name != '{GLOBAL_NAME}'",
        f"metadata.name {GLOBAL_NAME} is reserved for scope Global; use another name, or set spec.scope to Global",
        field="metadata.name",
    )


def _self_reference_rules() -> Iterable[Rule]:
    yield Rule(
        "!has(self.spec.parentRef) || self.spec.parentRef.name != self.metadata.name",
        "spec.parentRef.name is the instance itself; set another instance, or remove parentRef",
        field="spec.parentRef.name",
    )
    yield Rule(
        "!has(self.spec.renamedFrom) || self.spec.renamedFrom.name != self.metadata.name",
        "spec.renamedFrom.name is the instance itself; set the instance to replace, or remove renamedFrom",
        field="spec.renamedFrom.name",
    )


def _renaming_rules() -> Iterable[Rule]:
    yield Rule(
        "has(self.renamedFrom) ? has(oldSelf.renamedFrom) && self.renamedFrom == oldSelf.renamedFrom "
        ": !has(oldSelf.renamedFrom)",
        "renamedFrom is immutable; restore the value from when the instance was created",
        FieldErrorReason.FORBIDDEN,
        "renamedFrom",
    )
    yield Rule(
        f"!has(self.renamedFrom) || (self.scope != '{Scope.GLOBAL}' && self.renamedFrom.name != '{GLOBAL_NAME}')",
        f"renamedFrom cannot be used with the Global instance, whose name is always {GLOBAL_NAME}; remove renamedFrom",
        FieldErrorReason.FORBIDDEN,
        "renamedFrom",
    )


def _parent_rules() -> Iterable[Rule]:
    """Yield the rules about the parent of each scope.

    The scope of a parent is not known here, except that the instance named `global` is the Global one.
    """
    for scope, rule in SCOPES.items():
        instance = f"{_with_article(scope)} instance"
        if not rule.parents:
            yield Rule(
                f"self.scope != '{scope}' || !has(self.parentRef)",
                f"parentRef is not allowed, because {instance} has no parent; remove parentRef",
                FieldErrorReason.FORBIDDEN,
                "parentRef",
            )
            continue
        allowed = f"the name of a {_join_with_or(rule.parents)} instance"
        if not rule.may_be_root:
            yield Rule(
                f"self.scope != '{scope}' || has(self.parentRef)",
                f"parentRef is required, because {instance} needs a parent; set parentRef.name to {allowed}",
                FieldErrorReason.REQUIRED,
                "parentRef",
            )
        other_scope_or_parent = f"self.scope != '{scope}' || !has(self.parentRef) || self.parentRef.name"
        if Scope.GLOBAL not in rule.parents:
            yield Rule(
                f"{other_scope_or_parent} != '{GLOBAL_NAME}'",
                f"parentRef.name is the Global instance, which cannot be the parent of {instance}; set it to {allowed}",
                field="parentRef.name",
            )
        elif len(rule.parents) == 1:
            yield Rule(
                f"{other_scope_or_parent} == '{GLOBAL_NAME}'",
                f"parentRef.name is not the Global instance, the only allowed parent of {instance}; "
                f"set it to {GLOBAL_NAME}, or remove parentRef",
                field="parentRef.name",
            )


def _config_rules() -> Iterable[Rule]:
    """Yield a rule for each configuration field that some scopes do not have."""
    for path in dict.fromkeys(path for config in SCOPE_CONFIG.values() for path in config.fields):
        owners = [scope for scope in Scope if path in SCOPE_CONFIG[scope].fields]
        if len(owners) < len(Scope):
            scopes = ", ".join(f"'{scope}'" for scope in owners)
            yield Rule(
                f"{_is_unset('config', *path.split('.'))} || self.scope in [{scopes}]",
                f"config.{path} is a field of scope {_join_with_or(owners)} only; remove it",
                FieldErrorReason.FORBIDDEN,
                f"config.{path}",
            )


def _replica_rules() -> Iterable[Rule]:
    singleton_scopes = [scope for scope, rule in SCOPES.items() if rule.default_type is InstanceType.SINGLETON]
    scopes = ", ".join(f"'{scope}'" for scope in singleton_scopes)
    is_singleton = f"has(self.type) ? self.type == '{InstanceType.SINGLETON}' : self.scope in [{scopes}]"
    yield Rule(
        f"self.replicas <= 1 || !({is_singleton})",
        f"replicas of a {InstanceType.SINGLETON} must be at most 1; set replicas to 1, or choose another type",
        field="replicas",
    )


def _finality_rules() -> tuple[Rule, ...]:
    final, archived = DesiredState.TERMINATED, DesiredState.ARCHIVED
    return (
        Rule(
            f"oldSelf != '{final}' || self == '{final}'",
            f"desiredState {final} is final; set it back, or delete the instance and create it again",
            FieldErrorReason.FORBIDDEN,
        ),
        Rule(
            f"oldSelf != '{archived}' || self in ['{archived}', '{final}']",
            f"desiredState {archived} can only change to {final}; set it back, or set {final}",
            FieldErrorReason.FORBIDDEN,
        ),
    )


def _protection_rules() -> Iterable[Rule]:
    """Yield the rules for an instance that is protected before and after an update: its volumes must not be lost."""
    is_open = (
        "!has(oldSelf.deletionProtection) || !oldSelf.deletionProtection || "
        "!has(self.deletionProtection) || !self.deletionProtection"
    )
    final = DesiredState.TERMINATED
    advice = "set deletionProtection to false first"
    yield Rule(
        f"{is_open} || self.desiredState != '{final}' || oldSelf.desiredState == '{final}'",
        f"desiredState cannot be {final}, because the instance is protected from deletion; {advice}",
        FieldErrorReason.FORBIDDEN,
        "desiredState",
    )
    yield Rule(
        f"{is_open} || !({_is_ephemeral('self')}) || {_is_ephemeral('oldSelf')}",
        f"type cannot become {InstanceType.EPHEMERAL}, which would lose the volumes, because the instance is protected "
        f"from deletion; {advice}",
        FieldErrorReason.FORBIDDEN,
        "type",
    )


def _is_ephemeral(spec: str) -> str:
    """Return a CEL expression for: the effective type is Ephemeral."""
    scopes = ", ".join(f"'{scope}'" for scope, rule in SCOPES.items() if rule.default_type is InstanceType.EPHEMERAL)
    return f"(has({spec}.type) ? {spec}.type == '{InstanceType.EPHEMERAL}' : {spec}.scope in [{scopes}])"


# The fields of an archived spec that may change. `deletionProtection` is one of them, because otherwise a protected
# instance could never be deleted. `scope` and `renamedFrom` have their own rules.
_OPEN_WHILE_ARCHIVED = frozenset(
    {"desiredState", "reason", "ttlSecondsAfterFinished", "deletionProtection", "scope", "renamedFrom"}
)


def _archive_rules(spec_fields: Iterable[str]) -> Iterable[Rule]:
    """Yield a rule for each field that is read-only while the instance is archived.

    The rules compare whole values, because CEL cannot name what is inside `config.extra`, or the `$remove` of an entry.
    """
    for name in spec_fields:
        if name not in _OPEN_WHILE_ARCHIVED:
            yield Rule(
                f"oldSelf.desiredState != '{DesiredState.ARCHIVED}' || "
                f"(has(self.{name}) ? has(oldSelf.{name}) && self.{name} == oldSelf.{name} : !has(oldSelf.{name}))",
                f"{name} is read-only while the instance is Archived; restore its value, or create another instance",
                FieldErrorReason.FORBIDDEN,
                name,
            )


def _is_unset(*fields: str) -> str:
    """Return a CEL expression for: the nested field or one of its parents is not set."""
    paths = ("self." + ".".join(fields[:end]) for end in range(1, len(fields) + 1))
    return " || ".join(f"!has({path})" for path in paths)


def _with_article(scope: Scope) -> str:
    return f"{'an' if scope[0] in 'AEIOU' else 'a'} {scope}"


def _join_with_or(scopes: Iterable[Scope]) -> str:
    *rest, last = scopes
    return f"{', '.join(rest)} or {last}" if rest else str(last)
