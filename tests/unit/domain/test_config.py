"""Effective configuration from defaults, inherited and own values, and fields that a scope does not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib.resources import files
from typing import Any, get_type_hints

import pytest

from hopper.api.config import Delegation, InstanceConfig, Limits, Routing
from hopper.api.enums import RoutingFallback, RoutingStrategy, Scope
from hopper.api.instance import HopperInstance
from hopper.api.scopes import SCOPE_CONFIG
from hopper.domain.config import config_problems, effective_config, effective_value, own_value
from tests.unit.domain.sample_instances import from_wire

LIMITS = ("limits.maxChildInstances", "limits.maxConcurrentTasks", "limits.maxDepth")
EVERY_FIELD = (
    *("routing.strategy", "routing.fallback", "delegation.enabled", "delegation.autoCreateProjectInstances"),
    *LIMITS,
    *("capabilities", "extra"),
)
# Fields that a scope lacks; it has all others.
LACKING = {
    Scope.GLOBAL: set[str](),
    Scope.PROJECT: {"delegation.autoCreateProjectInstances"},
    Scope.FAMILY: {"delegation.autoCreateProjectInstances"},
    Scope.PERSONAL: {"delegation.autoCreateProjectInstances"},
    Scope.EVENT: {"delegation.autoCreateProjectInstances"},
    Scope.ORCHESTRATION: {
        *("delegation.autoCreateProjectInstances", "delegation.enabled"),
        *("limits.maxChildInstances", "limits.maxDepth"),
    },
    Scope.FEDERATED: set(EVERY_FIELD) - {"limits.maxConcurrentTasks", "capabilities", "extra"},
}


def configured(scope: Scope, config: dict[str, Any] | None = None) -> HopperInstance:
    name = "global" if scope is Scope.GLOBAL else scope.lower()
    return from_wire({"scope": scope} | ({} if config is None else {"config": config}), name=name)


def leaves(model: type[Any], prefix: str = "") -> Iterator[str]:
    """Yield the wire paths of all fields of the model, including those in sections."""
    hints = get_type_hints(model)
    for entry in fields(model):
        head, *tail = entry.name.split("_")
        path = prefix + head + "".join(map(str.capitalize, tail))
        section = next((arg for arg in getattr(hints[entry.name], "__args__", ()) if is_dataclass(arg)), None)
        if isinstance(section, type):
            yield from leaves(section, f"{path}.")
        else:
            yield path


def test_every_field_of_the_model_is_known_here() -> None:
    assert sorted(leaves(InstanceConfig)) == sorted(EVERY_FIELD)


@pytest.mark.parametrize("scope", Scope)
def test_fields_of_a_scope(scope: Scope) -> None:
    assert set(SCOPE_CONFIG[scope].fields) == set(EVERY_FIELD) - LACKING[scope]


@pytest.mark.parametrize("scope", Scope)
def test_each_defaults_file_names_its_scope_and_lists_all_fields(scope: Scope) -> None:
    first, *rest = files("hopper.api").joinpath("defaults", f"{scope.lower()}.yaml").read_text().splitlines()
    assert scope.value in first
    assert sum(not line.startswith("#") for line in rest) == len(SCOPE_CONFIG[scope].fields)


def test_there_is_a_defaults_file_for_each_scope_and_no_other() -> None:
    names = {entry.name for entry in files("hopper.api").joinpath("defaults").iterdir()}
    assert names == {f"{scope.lower()}.yaml" for scope in Scope}


@pytest.mark.parametrize("scope", Scope)
def test_defaults(scope: Scope) -> None:
    config = effective_config(configured(scope), ())
    routed, delegates = scope is not Scope.FEDERATED, scope not in (Scope.FEDERATED, Scope.ORCHESTRATION)
    is_global = scope is Scope.GLOBAL
    assert config == InstanceConfig(
        routing=Routing(strategy=RoutingStrategy.INTELLIGENT, fallback=RoutingFallback.RULES) if routed else None,
        delegation=Delegation(enabled=is_global, auto_create_project_instances=False if is_global else None)
        if delegates
        else None,
        limits=Limits(max_child_instances=100) if is_global else None,
        capabilities=(),
        extra={},
    )


def chain(*configs: tuple[Scope, dict[str, Any]]) -> tuple[HopperInstance, ...]:
    return tuple(configured(scope, config) for scope, config in configs)


# name: instance and ancestors (nearest first), field, effective value
VALUES: dict[str, tuple[tuple[HopperInstance, ...], str, Any]] = {
    "own": (
        chain((Scope.PROJECT, {"routing": {"strategy": "Rules"}}), (Scope.GLOBAL, {})),
        *("routing.strategy", "Rules"),
    ),
    "inherited": (
        chain((Scope.PROJECT, {}), (Scope.GLOBAL, {"routing": {"strategy": "Rules"}})),
        *("routing.strategy", "Rules"),
    ),
    "inherited through a parent without a value": (
        chain((Scope.ORCHESTRATION, {}), (Scope.PROJECT, {}), (Scope.GLOBAL, {"routing": {"strategy": "Rules"}})),
        *("routing.strategy", "Rules"),
    ),
    "the nearest wins": (
        chain(
            (Scope.ORCHESTRATION, {}),
            (Scope.PROJECT, {"routing": {"strategy": "Intelligent"}}),
            (Scope.GLOBAL, {"routing": {"strategy": "Rules"}}),
        ),
        *("routing.strategy", "Intelligent"),
    ),
    "own over inherited": (
        chain((Scope.PROJECT, {"delegation": {"enabled": False}}), (Scope.GLOBAL, {})),
        *("delegation.enabled", False),
    ),
    "a default of the parent is inherited too": (
        chain((Scope.PROJECT, {}), (Scope.GLOBAL, {})),
        *("delegation.enabled", True),
    ),
    "without a parent the scope's own default": (chain((Scope.PROJECT, {})), "delegation.enabled", False),
    "not inherited": (
        chain((Scope.PROJECT, {}), (Scope.GLOBAL, {"limits": {"maxChildInstances": 3}})),
        *("limits.maxChildInstances", None),
    ),
    "capabilities are not inherited": (
        chain((Scope.PROJECT, {}), (Scope.GLOBAL, {"capabilities": ["gpu"]})),
        *("capabilities", []),
    ),
    "an empty list is a value": (chain((Scope.PROJECT, {"capabilities": []})), "capabilities", ()),
    "zero is a value": (chain((Scope.GLOBAL, {"limits": {"maxChildInstances": 0}})), "limits.maxChildInstances", 0),
    "the smaller limit applies: that of the parent": (
        chain((Scope.PROJECT, {"limits": {"maxDepth": 9}}), (Scope.GLOBAL, {"limits": {"maxDepth": 2}})),
        *("limits.maxDepth", 2),
    ),
    "the smaller limit applies: its own": (
        chain((Scope.PROJECT, {"limits": {"maxDepth": 2}}), (Scope.GLOBAL, {"limits": {"maxDepth": 9}})),
        *("limits.maxDepth", 2),
    ),
    "a limit from far above": (
        chain(
            (Scope.EVENT, {"limits": {"maxDepth": 5}}),
            (Scope.PROJECT, {}),
            (Scope.GLOBAL, {"limits": {"maxDepth": 3}}),
        ),
        *("limits.maxDepth", 3),
    ),
    "no limit anywhere": (chain((Scope.PROJECT, {}), (Scope.GLOBAL, {})), "limits.maxDepth", None),
    "a field that the scope does not have is ignored": (
        chain((Scope.FEDERATED, {"limits": {"maxDepth": 5}}), (Scope.GLOBAL, {})),
        *("limits.maxDepth", None),
    ),
}


@pytest.mark.parametrize("case", VALUES.values(), ids=VALUES)
def test_effective_value(case: tuple[tuple[HopperInstance, ...], str, Any]) -> None:
    (subject, *ancestors), path, expected = case
    assert effective_value(subject, tuple(ancestors), path) == expected


def test_the_effective_config_combines_the_effective_values_of_all_fields() -> None:
    above = chain((Scope.GLOBAL, {"routing": {"strategy": "Rules"}, "limits": {"maxDepth": 2, "maxChildInstances": 7}}))
    own = {"limits": {"maxConcurrentTasks": 4}, "capabilities": ["gpu", "eu"], "extra": {"team": {"name": "a"}}}
    assert effective_config(configured(Scope.PROJECT, own), above) == InstanceConfig(
        routing=Routing(strategy=RoutingStrategy.RULES, fallback=RoutingFallback.RULES),
        delegation=Delegation(enabled=True),
        limits=Limits(max_concurrent_tasks=4, max_depth=2),
        capabilities=("gpu", "eu"),
        extra={"team": {"name": "a"}},
    )


@pytest.mark.parametrize("config", [None, {}, {"limits": {}}])
@pytest.mark.parametrize("path", EVERY_FIELD)
def test_an_unset_value_is_none(path: str, config: dict[str, Any] | None) -> None:
    assert own_value(configured(Scope.GLOBAL, config), path) is None


SAMPLES: dict[str, Any] = {
    "routing.strategy": "Rules",
    "routing.fallback": "Rules",
    "delegation.enabled": True,
    "delegation.autoCreateProjectInstances": True,
    **dict.fromkeys(LIMITS, 3),
    "capabilities": ["gpu"],
    "extra": {"limits": {"maxDepth": 1}, "anything": None},
}


@pytest.mark.parametrize("path", EVERY_FIELD)
@pytest.mark.parametrize("scope", Scope)
def test_a_problem_names_the_field_and_the_fix(scope: Scope, path: str) -> None:
    section, _, leaf = path.rpartition(".")
    value = SAMPLES[path]
    subject = configured(scope, {section: {leaf: value}} if section else {leaf: value})
    problems = config_problems(subject)
    if path not in LACKING[scope]:
        assert problems == ()
        return
    (problem,) = problems
    owners = [other.value for other in Scope if path not in LACKING[other]]
    assert problem == f"spec.config.{path} is only for {', '.join(owners)}: remove it from this {scope}"


def test_every_foreign_field_is_reported() -> None:
    subject = configured(Scope.ORCHESTRATION, {"limits": {"maxDepth": 1, "maxChildInstances": 2}, "capabilities": []})
    assert [problem.split()[0] for problem in config_problems(subject)] == [
        "spec.config.limits.maxChildInstances",
        "spec.config.limits.maxDepth",
    ]


@pytest.mark.parametrize("config", [None, {}, {"routing": {}, "delegation": {}, "limits": {}}])
@pytest.mark.parametrize("scope", Scope)
def test_an_empty_config_has_no_problems(scope: Scope, config: dict[str, Any] | None) -> None:
    assert config_problems(configured(scope, config)) == ()
