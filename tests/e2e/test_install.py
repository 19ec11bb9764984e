"""The release itself."""

from __future__ import annotations

from tests.e2e.hopper import RELEASE, System


def test_helms_own_test_passes(system: System) -> None:
    told = system.helm("test", RELEASE, "--timeout=3m")
    assert "Phase:          Succeeded" in told


def test_it_runs_as_any_user_and_writes_nothing(system: System) -> None:
    for component in ("operator", "gateway"):
        (pod,) = system.pods(component)
        assert pod["spec"]["securityContext"]["runAsUser"] == 1234567890
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        (status,) = pod["status"]["containerStatuses"]
        assert status["restartCount"] == 0, f"{component} had to be started again"
