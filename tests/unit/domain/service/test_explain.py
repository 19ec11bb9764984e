"""Explanations of values and their origins."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.api.instance import HopperInstance
from hopper.domain.service.blueprint import prepare_blueprint
from hopper.domain.service.explain import explain
from tests.unit.domain.service.samples import FULL, instance, template


def lines(subject: HopperInstance, *ancestors: HopperInstance, spec: dict[str, Any] | None = None) -> list[str]:
    return [str(value) for value in explain(prepare_blueprint(subject, ancestors, template(spec)), ancestors)]


def test_explains_the_values_of_the_service() -> None:
    spec = {
        "args": ["a", "b"],
        "env": [{"name": "TZ", "value": "Etc/UTC"}, {"name": "P", "value": "s3cret-canary", "secret": True}],
        "configFiles": [{"path": "/x", "content": "one\ntwo\n"}, {"path": "/y", "content": "one\n"}],
    }
    explained = lines(instance(overrides={"env": [{"name": "TZ", "value": "Europe/Berlin"}]}), spec=spec)
    for line in (
        "image: web:1 (template)",
        "args: [a, b] (template)",
        "env[TZ].value: Europe/Berlin (override)",
        "env[P].value: (secret) (template)",
        "env[P].secret: true (template)",
        "configFiles[/x].content: one … (template)",
        "configFiles[/y].content: one (template)",
        "configFiles[/y].mode: 0644 (default)",
        "securityProfile: Restricted (default)",
    ):
        assert line in explained


def test_masks_secret_values() -> None:
    assert "s3cret-canary" not in str(
        lines(instance(overrides={"env": [{"name": "PASSWORD", "value": "x"}]}), spec=FULL)
    )
    masked = lines(instance(overrides={"env": [{"name": "PASSWORD", "value": "s3cret-canary"}]}), spec=FULL)
    assert "s3cret-canary" not in str(masked)
    assert "env[PASSWORD].value: (secret) (override)" in masked
    assert "env[PASSWORD].secret: true (template)" in masked


def test_explains_the_fields_of_the_instance() -> None:
    assert "replicas: 3 (instance)" in lines(instance(replicas=3))
    assert "type: Persistent (default)" in lines(instance())
    assert "type: Singleton (instance)" in lines(instance(type="Singleton"))


@pytest.mark.parametrize(
    ("own", "parent", "root", "line"),
    [
        ({"limits": {"maxDepth": 2}}, {}, {}, None),
        ({"routing": {"strategy": "Rules"}}, {}, {}, "config.routing.strategy: Rules (instance)"),
        ({}, {"routing": {"strategy": "Rules"}}, {}, "config.routing.strategy: Rules (inherited from shop)"),
        ({}, {}, {"routing": {"strategy": "Rules"}}, "config.routing.strategy: Rules (inherited from global)"),
        ({}, {}, {}, "config.routing.strategy: Intelligent (default)"),
        ({"capabilities": ["a"]}, {"capabilities": ["b"]}, {}, "config.capabilities: [a] (instance)"),
        ({}, {"capabilities": ["b"]}, {}, None),
    ],
)
def test_explains_inherited_configuration(
    own: dict[str, Any], parent: dict[str, Any], root: dict[str, Any], line: str | None
) -> None:
    above = (instance("shop", "Project", config=parent), instance("global", "Global", config=root))
    explained = lines(instance(config=own), *above)
    if line is None:
        assert not any("inherited" in line for line in explained)
    else:
        assert line in explained
