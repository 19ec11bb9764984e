"""Conversion of resources."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.api.template import ResourceAmounts, Resources
from tests.unit.compose.compose_directory import ComposeDirectory


class TestResources:
    @pytest.mark.parametrize(
        ("text", "requests", "limits"),
        [
            ("mem_limit: 512m", None, {"memory": "512Mi"}),
            ("mem_limit: 1g\nmem_reservation: 300M\ncpus: 1.5", {"memory": "300Mi"}, {"cpu": "1500m", "memory": "1Gi"}),
            ("mem_limit: 512Mi", None, {"memory": "512Mi"}),
            ("mem_limit: 1000000000", None, {"memory": "1000000000"}),
            ("cpus: '2'", None, {"cpu": "2"}),
            ("cpus: 0.0001", None, {"cpu": "1m"}),
            ("cpu_quota: 50000", None, {"cpu": "500m"}),
            ("cpu_quota: 25000\ncpu_period: 50000", None, {"cpu": "500m"}),
            ("deploy: {resources: {limits: {cpus: '0.50', memory: 50M}}}", None, {"cpu": "500m", "memory": "50Mi"}),
            (
                "deploy: {resources: {reservations: {cpus: 0.25, memory: 20kb}}}",
                {"cpu": "250m", "memory": "20Ki"},
                None,
            ),
            ("mem_limit: 1g\ndeploy: {resources: {limits: {memory: 2g}}}", None, {"memory": "2Gi"}),
            ("mem_limit: 0\ncpus: 0", None, None),
        ],
    )
    def test_amounts_become_quantities(self, project: ComposeDirectory, text: str, requests: Any, limits: Any) -> None:
        expected = Resources(
            requests=ResourceAmounts(**requests) if requests else None,
            limits=ResourceAmounts(**limits) if limits else None,
        )
        assert project.app(text).spec().resources == (expected if requests or limits else None)

    def test_requests_do_not_exceed_limits(self, project: ComposeDirectory) -> None:
        result = project.app(
            "deploy: {resources: {limits: {memory: 1g, cpus: 1}, reservations: {memory: 2g, cpus: 2}}}"
        )
        assert result.spec().resources == Resources(
            requests=ResourceAmounts(cpu="1", memory="1Gi"), limits=ResourceAmounts(cpu="1", memory="1Gi")
        )
        assert len(result.changed) == 2

    def test_unsupported_keys_are_reported(self, project: ComposeDirectory) -> None:
        text = "deploy: {resources: {limits: {pids: 5, x: 1}, reservations: {devices: [{capabilities: [gpu]}]}, y: 1}}"
        below = "deploy.resources."
        assert {f"{below}limits.pids", f"{below}limits.x", f"{below}reservations.devices", f"{below}y"} == project.app(
            text
        ).dropped.keys()

    @pytest.mark.parametrize(
        "text", ["mem_limit: much", "cpus: many", "cpus: -1", "cpus: 1e99", "mem_limit: 99999999t"]
    )
    def test_invalid_amounts_are_problems(self, project: ComposeDirectory, text: str) -> None:
        assert f"service app: {text.split(':')[0]}: the value is not" in project.app_problems(text)[0]
