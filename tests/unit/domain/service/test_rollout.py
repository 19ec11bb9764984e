"""Differences that replace pods only at their next rollout: Deployments of Hopper 0.1, and reparented instances."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from hopper.api.template import ResourceAmounts
from hopper.domain.service.blueprint import Blueprint, prepare_blueprint
from hopper.domain.service.render import Manifest, Mode
from hopper.domain.service.render.deployment import render_deployment
from hopper.domain.service.rollout import is_current_revision, keep_running_pods
from tests.unit.domain.service.samples import FULL, GLOBAL, PORT, PROJECT, blueprint, instance, template

TMPFS: dict[str, Any] = {**PORT, "volumes": [{"target": "/cache", "type": "tmpfs"}]}
SECRET: dict[str, Any] = {**PORT, "env": [{"name": "PIN", "value": "1234", "secret": True}]}


def deployment_of_0_1(subject: Blueprint) -> Manifest:
    return copy.deepcopy(render_deployment(replace(subject, has_pods_of_0_1=True), Mode.UP))


def next_template(subject: Blueprint, live: Manifest) -> Any:
    """Return the pod template that the operator applies over a live Deployment."""
    found = keep_running_pods(subject, Mode.UP, render_deployment(subject, Mode.UP), live)
    return found["spec"]["template"]


@pytest.mark.parametrize("spec", [FULL, PORT, TMPFS, SECRET])
def test_pods_of_0_1_keep_running(spec: dict[str, Any]) -> None:
    live = deployment_of_0_1(blueprint(spec))
    assert next_template(blueprint(spec), live) == live["spec"]["template"]
    assert live["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/instance"] == "web-1"
    assert is_current_revision(blueprint(spec), live)


@pytest.mark.parametrize(
    "change",
    [
        {"overrides": {"env": [{"name": "NEW", "value": "x"}]}},
        {"overrides": {"env": [{"name": "PIN", "value": "1235", "secret": True}]}},
        {"status": {"restarts": 1}},
    ],
)
def test_their_next_rollout_brings_everything_up_to_date(change: dict[str, Any]) -> None:
    live, changed = deployment_of_0_1(blueprint(SECRET)), blueprint(SECRET, **change)
    assert next_template(changed, live) == render_deployment(changed, Mode.UP)["spec"]["template"]


def test_a_foreign_change_to_them_brings_everything_up_to_date() -> None:
    live = deployment_of_0_1(blueprint(PORT))
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:1"
    assert next_template(blueprint(PORT), live) == render_deployment(blueprint(PORT), Mode.UP)["spec"]["template"]


def test_without_pods_everything_is_brought_up_to_date() -> None:
    live = deployment_of_0_1(blueprint(PORT))
    live["spec"]["replicas"] = 0
    labels = next_template(blueprint(PORT), live)["metadata"]["labels"]
    assert labels["app.kubernetes.io/instance"] == "hopper-shop-web-1"


def test_the_selector_is_that_of_0_1() -> None:
    live = deployment_of_0_1(blueprint(PORT))
    assert render_deployment(blueprint(PORT), Mode.UP)["spec"]["selector"] == live["spec"]["selector"]


@pytest.mark.parametrize("ancestors", [(GLOBAL,), (instance("other", "Project"), GLOBAL)])
def test_reparented_pods_keep_the_label_of_their_project(ancestors: tuple[Any, ...]) -> None:
    moved = instance(status={"workloadName": "hopper-shop-web-1"})
    before, after = (prepare_blueprint(moved, above, template(PORT)) for above in ((PROJECT, GLOBAL), ancestors))
    live = render_deployment(before, Mode.UP)
    assert next_template(after, live) == live["spec"]["template"]
    restarted = replace(after, instance=replace(moved, status=replace(moved.status, restarts=1)))
    labels = next_template(restarted, live)["metadata"]["labels"]
    assert labels.get("app.kubernetes.io/part-of") == ("other" if len(ancestors) > 1 else None)


def test_other_labels_that_the_operator_sets_are_healed() -> None:
    live = copy.deepcopy(render_deployment(blueprint(PORT), Mode.UP))
    live["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/instance"] = "release"
    labels = next_template(blueprint(PORT), live)["metadata"]["labels"]
    assert labels["app.kubernetes.io/instance"] == "hopper-shop-web-1"


class TestDefaultLimits:
    LIMITS = ResourceAmounts(cpu="2", memory="512Mi")

    @staticmethod
    def resources(spec: dict[str, Any], limits: ResourceAmounts, live: Manifest | None = None) -> Any:
        subject = replace(blueprint(spec), default_limits=limits)
        deployment = render_deployment(subject, Mode.UP)
        found = keep_running_pods(subject, Mode.UP, deployment, live) if live else deployment
        return found["spec"]["template"]["spec"]["containers"][0].get("resources")

    def test_apply_where_the_template_sets_none(self) -> None:
        assert self.resources(PORT, self.LIMITS) == {"limits": {"cpu": "2", "memory": "512Mi"}}
        own = {**PORT, "resources": {"limits": {"cpu": "3"}, "requests": {"memory": "1Gi"}}}
        assert self.resources(own, self.LIMITS) == {
            "limits": {"cpu": "3", "memory": "1Gi"},
            "requests": {"memory": "1Gi"},
        }
        assert self.resources(PORT, ResourceAmounts()) is None

    def test_a_change_restarts_no_pods(self) -> None:
        live = copy.deepcopy(render_deployment(replace(blueprint(PORT), default_limits=self.LIMITS), Mode.UP))
        without = copy.deepcopy(render_deployment(blueprint(PORT), Mode.UP))
        more = ResourceAmounts(cpu="3", memory="1Gi")
        assert self.resources(PORT, more, live) == {"limits": {"cpu": "2", "memory": "512Mi"}}
        assert self.resources(PORT, more, without) is None
        changed = {**PORT, "image": "web:2"}
        assert self.resources(changed, more, live) == {"limits": {"cpu": "3", "memory": "1Gi"}}

    def test_do_not_apply_to_pods_of_0_1(self) -> None:
        assert self.resources(PORT, self.LIMITS, deployment_of_0_1(blueprint(PORT))) is None
