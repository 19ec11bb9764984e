"""Conversion of `user`, `working_dir` and `image`."""

from __future__ import annotations

import pytest

from hopper.api.enums import SecurityProfile
from tests.unit.compose.compose_directory import ComposeDirectory


class TestUser:
    @pytest.mark.parametrize(
        ("text", "user", "profile"),
        [
            ('"1000"', "1000", SecurityProfile.RESTRICTED),
            ("1000", "1000", SecurityProfile.RESTRICTED),
            ('"1000:1000"', "1000:1000", SecurityProfile.RESTRICTED),
            ('"1000:0"', "1000:0", SecurityProfile.BASELINE),
            ('"0"', "0", SecurityProfile.BASELINE),
            ("root", "0", SecurityProfile.BASELINE),
            ("root:root", "0:0", SecurityProfile.BASELINE),
            ('"0:1000"', "0:1000", SecurityProfile.BASELINE),
            ("node", None, SecurityProfile.BASELINE),
            ("1000:users", None, SecurityProfile.BASELINE),
            ("${UID}:${GID}", None, SecurityProfile.BASELINE),
        ],
    )
    def test_the_user_determines_the_security_profile(
        self, project: ComposeDirectory, text: str, user: str | None, profile: SecurityProfile
    ) -> None:
        result = project.app(f"user: {text}")
        assert (result.spec().user, result.spec().security_profile) == (user, profile)
        assert ("user" in result.dropped) is (user is None)
        assert ("securityProfile" in result.notes) is (profile is SecurityProfile.BASELINE)

    def test_without_a_user_the_profile_is_baseline(self, project: ComposeDirectory) -> None:
        result = project.app("")
        assert result.spec().security_profile is SecurityProfile.BASELINE
        assert [finding.key for finding in result.conversion.findings].count("securityProfile") == 1


@pytest.mark.parametrize(("text", "path"), [("/app", "/app"), ("/app/", "/app/"), ("app", None), ("${X}", None)])
def test_the_working_directory_must_be_absolute(project: ComposeDirectory, text: str, path: str | None) -> None:
    assert project.app(f"working_dir: {text}").spec().working_dir == path


def test_a_built_image_has_the_name_that_docker_compose_gives_it(project: ComposeDirectory) -> None:
    result = project.app("build: .")
    assert result.spec().image == "shop-app:latest"
    assert "build" in result.dropped
    assert "image" in result.changed
    assert project.convert("name: Other\nservices: {Web: {build: .}}").spec("Web").image == "other-web:latest"
