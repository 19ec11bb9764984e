"""The scope matrix: who may live below whom, and what an instance of each scope is by default (design: Hierarchy)."""

from dataclasses import dataclass

from hopper.api.enums import InstanceType, Scope


@dataclass(frozen=True, slots=True)
class ScopeRule:
    """Rules of one scope. `parents` lists the scopes allowed as parent; `may_be_root` says whether none is fine too."""

    parents: tuple[Scope, ...]
    may_be_root: bool
    default_type: InstanceType = InstanceType.PERSISTENT


SCOPES: dict[Scope, ScopeRule] = {
    Scope.GLOBAL: ScopeRule((), may_be_root=True, default_type=InstanceType.SINGLETON),
    Scope.PROJECT: ScopeRule((Scope.GLOBAL,), may_be_root=True),
    Scope.FAMILY: ScopeRule((Scope.GLOBAL,), may_be_root=True),
    Scope.PERSONAL: ScopeRule((Scope.GLOBAL, Scope.FAMILY), may_be_root=True),
    Scope.EVENT: ScopeRule(
        (Scope.GLOBAL, Scope.PROJECT, Scope.FAMILY), may_be_root=True, default_type=InstanceType.EPHEMERAL
    ),
    Scope.FEDERATED: ScopeRule((Scope.GLOBAL,), may_be_root=True),
    Scope.ORCHESTRATION: ScopeRule((Scope.PROJECT, Scope.PERSONAL, Scope.FAMILY, Scope.EVENT), may_be_root=False),
}


def allowed_children(scope: Scope) -> tuple[Scope, ...]:
    """Return the scopes that may live directly below `scope`."""
    return tuple(child for child, rule in SCOPES.items() if scope in rule.parents)
