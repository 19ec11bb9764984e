"""The restart policy of an instance that sets none: its template's, else the default."""

import pytest

from hopper.api.enums import RestartMode
from hopper.api.instance import HopperInstance, RestartPolicy
from hopper.api.template import HopperTemplate, parse_template
from hopper.domain.observed import Runtime
from hopper.domain.service.blueprint import prepare_blueprint
from tests.unit.domain.sample_instances import instance, observe


def template(restart: str | None) -> HopperTemplate:
    spec = {"image": "shop:1"} | ({"restart": restart} if restart else {})
    metadata = {"name": "shop", "namespace": "demo", "uid": "t", "creationTimestamp": "2026-03-01T12:00:00Z"}
    return parse_template({"metadata": metadata, "spec": spec})


def policy_of(subject: HopperInstance, restart: str | None) -> RestartPolicy:
    runtime = Runtime(owned={}, blueprint=prepare_blueprint(subject, (), template(restart)))
    return observe(subject, runtime=runtime).restart_policy


@pytest.mark.parametrize("mode", RestartMode)
def test_the_mode_comes_from_the_template(mode: RestartMode) -> None:
    assert policy_of(instance(), mode.value) == RestartPolicy(policy=mode)


def test_the_policy_of_the_instance_wins() -> None:
    own = RestartPolicy(policy=RestartMode.NEVER, max_retries=1)
    assert policy_of(instance(restart_policy=own), "Always") == own


def test_without_either_the_default_applies() -> None:
    assert policy_of(instance(), None) == observe(instance()).restart_policy == RestartPolicy()
