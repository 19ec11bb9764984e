"""What restarts the pods, and what a revision tells apart."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.domain.service.blueprint import prepare_blueprint
from hopper.domain.service.render import Mode, render_objects
from hopper.domain.service.revision import revision
from tests.unit.domain.service.samples import (
    FULL,
    PORT,
    Wire,
    blueprint,
    checksum,
    pod_template,
    rendered,
    template,
)


class TestRestarts:
    """What restarts the pods: the configuration that they read, and what they are."""

    @pytest.mark.parametrize(
        "overrides",
        [
            {"env": [{"name": "PASSWORD", "value": "other"}]},
            {"configFiles": [{"path": "/etc/web/web.conf", "content": "listen 81\n"}]},
            {"env": [{"name": "TZ", "value": "other"}]},
        ],
    )
    def test_configuration_does(self, overrides: Wire) -> None:
        assert pod_template(blueprint(FULL, overrides)) != pod_template(blueprint(FULL))

    @pytest.mark.parametrize(
        "change",
        [
            {"replicas": 5},
            {"reason": "x"},
            {"overrides": {"domains": [{"domain": "new.example.com"}]}},
            {"overrides": {"ports": [{"containerPort": 80, "hostPort": 9000}]}},
            {"config": {"limits": {"maxConcurrentTasks": 1}}},
        ],
    )
    def test_nothing_else_does(self, change: dict[str, Any]) -> None:
        assert pod_template(blueprint(FULL, **change)) == pod_template(blueprint(FULL))

    @pytest.mark.parametrize("mode", [Mode.PAUSED, Mode.STOPPED])
    def test_no_mode_does(self, mode: Mode) -> None:
        assert pod_template(blueprint(FULL), mode) == pod_template(blueprint(FULL))

    def test_no_checksum_without_configuration(self) -> None:
        assert checksum(blueprint(PORT)) is None
        assert "annotations" not in pod_template(blueprint(PORT))["metadata"]


class TestRevision:
    def test_is_on_the_workload(self) -> None:
        made = blueprint(FULL)
        found = render_objects(made, Mode.UP)
        annotations = rendered(made)["Deployment"]["metadata"]["annotations"]
        assert annotations == {"hopper.dev/revision": found.revision}
        assert len(found.revision) == 16

    @pytest.mark.parametrize(
        "overrides",
        [
            {"env": [{"name": "PASSWORD", "value": "other"}]},
            {"env": [{"name": "PASSWORD", "value": "", "secret": True}]},
            {"labels": [{"name": "plain", "$remove": True}]},
            {"healthcheck": {"$remove": True}},
        ],
    )
    def test_changes_with_anything_in_it(self, overrides: Wire) -> None:
        assert revision(blueprint(FULL, overrides)) != revision(blueprint(FULL))

    @pytest.mark.parametrize(
        "change",
        [{"displayName": "Other"}, {"config": {"extra": {"x": 2}}}, {"type": "Ephemeral"}, {"type": "Singleton"}],
    )
    def test_changes_with_whatever_else_changes_the_pods(self, change: dict[str, Any]) -> None:
        """Else the instance would be Ready before they have followed."""
        text = "{{ instance.displayName | default }} {{ config.extra.x }}"
        spec = {**FULL, "configFiles": [{"path": "/etc/web/x", "content": text, "template": True}]}
        before = {"displayName": "Web", "config": {"extra": {"x": 1}}}
        assert revision(blueprint(spec, **before | change)) != revision(blueprint(spec, **before))

    def test_changes_with_the_template(self) -> None:
        one, other = (prepare_blueprint(blueprint().instance, (), template(name=name)) for name in ("one", "other"))
        assert pod_template(one) != pod_template(other)
        assert revision(one) != revision(other)

    def test_stays_where_nothing_comes_of_it(self) -> None:
        shuffled = {**FULL, "env": list(reversed(FULL["env"])), "ports": list(reversed(FULL["ports"]))}
        assert revision(blueprint(shuffled)) == revision(blueprint(FULL))
        same = {"env": [{"name": "TZ", "value": "Etc/UTC"}]}
        assert revision(blueprint(FULL, same)) == revision(blueprint(FULL))
