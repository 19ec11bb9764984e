"""The scope matrix: allowed parents, default type and configuration fields of each scope."""

from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

import yaml

from hopper.api.enums import InstanceType, Scope


@dataclass(frozen=True, slots=True)
class ScopeRule:
    """Rules of one scope: the scopes allowed as parent, whether a root is allowed, and the default type."""

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
    """Return the scopes allowed directly below a scope."""
    return tuple(child for child, rule in SCOPES.items() if scope in rule.parents)


@dataclass(frozen=True, slots=True)
class ConfigField:
    """Configuration field of a scope: its default (None for no limit), and how it is inherited from the parent.

    `inherit` is one of:

    - `value`: an unset field has the parent's value.
    - `minimum`: the smaller of both values applies, so a child can only tighten a limit.
    - None: the field is not inherited.
    """

    default: Any = None
    inherit: Literal["value", "minimum"] | None = None


@dataclass(frozen=True, slots=True)
class ScopeConfig:
    """Configuration fields of a scope by dotted path, such as `limits.maxDepth`."""

    fields: dict[str, ConfigField] = field(default_factory=dict)


def _load_defaults(scope: Scope) -> ScopeConfig:
    text = files("hopper.api").joinpath("defaults", f"{scope.lower()}.yaml").read_text(encoding="utf-8")
    return ScopeConfig({path: ConfigField(**entry) for path, entry in yaml.safe_load(text).items()})


SCOPE_CONFIG: dict[Scope, ScopeConfig] = {scope: _load_defaults(scope) for scope in Scope}
