"""Changes that restart the pods, and changes of the revision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hopper.domain.service.blueprint import prepare_blueprint
from hopper.domain.service.render import Mode, checksum_key, render_objects
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
    """Pods restart if their configuration or their spec changes."""

    @pytest.mark.parametrize(
        "overrides",
        [
            {"env": [{"name": "PASSWORD", "value": "other"}]},
            {"configFiles": [{"path": "/etc/web/web.conf", "content": "listen 81\n"}]},
            {"env": [{"name": "TZ", "value": "other"}]},
        ],
    )
    def test_a_change_of_configuration_restarts_the_pods(self, overrides: Wire) -> None:
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
    def test_other_changes_do_not_restart_the_pods(self, change: dict[str, Any]) -> None:
        assert pod_template(blueprint(FULL, **change)) == pod_template(blueprint(FULL))

    @pytest.mark.parametrize("mode", [Mode.PAUSED, Mode.STOPPED])
    def test_a_mode_does_not_restart_the_pods(self, mode: Mode) -> None:
        assert pod_template(blueprint(FULL), mode) == pod_template(blueprint(FULL))

    def test_a_short_secret_cannot_be_guessed_from_the_checksum(self) -> None:
        """Everything about the instance is known to the attacker, except the key in its Secret."""

        def of(pin: int, key: str) -> str | None:
            env = [{"name": "PIN", "value": f"{pin:04}", "secret": True}]
            return checksum(replace(blueprint({"env": env}), checksum_key=key))

        found = of(1234, "random")
        assert found not in {of(pin, key) for pin in range(1200, 1300) for key in ("", "uid-web-1", "web-1")}
        assert found != of(1235, "random")
        assert of(1234, "") == of(1235, "")

    def test_the_secret_holds_the_key_of_the_checksum(self) -> None:
        secret = rendered(blueprint(FULL))["Secret"]
        assert checksum_key(secret) == "key"
        del secret["data"][".checksum-key"]
        assert checksum_key(secret) == checksum_key(None) == ""
        assert checksum_key({"data": {".checksum-key": "%"}}) == ""

    def test_no_checksum_without_configuration(self) -> None:
        assert checksum(blueprint(PORT)) is None
        assert "annotations" not in pod_template(blueprint(PORT))["metadata"]


class TestRevision:
    def test_is_an_annotation_of_the_deployment(self) -> None:
        subject = blueprint(FULL)
        objects = render_objects(subject, Mode.UP)
        annotations = rendered(subject)["Deployment"]["metadata"]["annotations"]
        assert annotations == {"hopper.dev/revision": objects.revision}
        assert len(objects.revision) == 16

    @pytest.mark.parametrize(
        "overrides",
        [
            {"env": [{"name": "PASSWORD", "value": "other"}]},
            {"env": [{"name": "PASSWORD", "value": "", "secret": True}]},
            {"labels": [{"name": "plain", "$remove": True}]},
            {"healthcheck": {"$remove": True}},
        ],
    )
    def test_changes_with_the_service(self, overrides: Wire) -> None:
        assert revision(blueprint(FULL, overrides)) != revision(blueprint(FULL))

    @pytest.mark.parametrize(
        "change",
        [{"displayName": "Other"}, {"config": {"extra": {"x": 2}}}, {"type": "Ephemeral"}, {"type": "Singleton"}],
    )
    def test_changes_with_other_inputs_of_the_pods(self, change: dict[str, Any]) -> None:
        """Otherwise the instance would be Ready before the pods are updated."""
        text = "{{ instance.displayName | default('') }} {{ config.extra.x }}"
        spec = {**FULL, "configFiles": [{"path": "/etc/web/x", "content": text, "template": True}]}
        before = {"displayName": "Web", "config": {"extra": {"x": 1}}}
        assert revision(blueprint(spec, **before | change)) != revision(blueprint(spec, **before))

    def test_changes_with_the_name_of_the_template(self) -> None:
        one, other = (prepare_blueprint(blueprint().instance, (), template(name=name)) for name in ("one", "other"))
        assert pod_template(one) != pod_template(other)
        assert revision(one) != revision(other)

    def test_does_not_change_with_the_order_of_entries_or_equal_overrides(self) -> None:
        shuffled = {**FULL, "env": list(reversed(FULL["env"])), "ports": list(reversed(FULL["ports"]))}
        assert revision(blueprint(shuffled)) == revision(blueprint(FULL))
        same = {"env": [{"name": "TZ", "value": "Etc/UTC"}]}
        assert revision(blueprint(FULL, same)) == revision(blueprint(FULL))
