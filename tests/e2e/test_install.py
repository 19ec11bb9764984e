"""The installed release."""

from __future__ import annotations

from tests.e2e.release import RELEASE, Release


def test_helm_test_passes(release: Release) -> None:
    output = release.helm("test", RELEASE, "--timeout=3m")
    assert "Phase:          Succeeded" in output


def test_pods_run_as_an_arbitrary_user_on_a_read_only_file_system(release: Release) -> None:
    for component in ("operator", "gateway"):
        (pod,) = release.pods(component)
        assert pod["spec"]["securityContext"]["runAsUser"] == 1234567890
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        (status,) = pod["status"]["containerStatuses"]
        assert status["restartCount"] == 0, f"{component} restarted"
