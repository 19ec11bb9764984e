"""Interpolation of variables, and the parser of `.env` and `env_file`."""

from __future__ import annotations

import pytest

from hopper.compose.reading.dotenv import parse_env_file
from hopper.compose.reading.interpolation import interpolate
from hopper.compose.reading.tracked_text import TrackedText
from tests.unit.compose.compose_directory import ComposeDirectory

VARIABLES = {"A": "one", "EMPTY": "", "DB_PASSWORD": "hunter2"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("$A", "one"),
        ("${A}", "one"),
        ("x${A}y$A-", "xoney" + "one-"),
        ("$$A", "$A"),
        ("$${A}", "${A}"),
        ("${B:-two}", "two"),
        ("${B-two}", "two"),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY-two}", ""),
        ("${A:-two}", "one"),
        ("${A:+yes}", "yes"),
        ("${B:+yes}", ""),
        ("${EMPTY+yes}", "yes"),
        ("${B:-${A}}", "one"),
        ("${B:-${C:-${D:-deep}}}", "deep"),
        ("${B:-a}b}", "ab}"),
        ("${B:-{}}", "{}"),
        ("${B}", ""),
        ("${B:?message}", ""),
        ("$", "$"),
        ("$1", "$1"),
        ("${", "${"),
        ("${1}", "${1}"),
        ("${A!}", "${A!}"),
        ("a $(date)", "a $(date)"),
    ],
)
def test_variables_are_replaced(text: str, value: str) -> None:
    assert interpolate(text, VARIABLES) == value


def test_secrets_and_unresolved_variables_are_recorded() -> None:
    text = interpolate("${B} ${C:?why} ${DB_PASSWORD} ${X_TOKEN:-tok}", VARIABLES)
    assert isinstance(text, TrackedText)
    assert text.unresolved == ("B", "C")
    assert text.secrets == ("hunter2", "tok")
    assert not text.malformed
    assert isinstance(malformed := interpolate("$(", VARIABLES), TrackedText)
    assert malformed.malformed


@pytest.mark.parametrize("text", ["${A:-" * 3000, "${" * 100_000, "$A" * 100_000])
def test_hostile_nesting_is_limited(text: str) -> None:
    assert isinstance(interpolate(text, VARIABLES), str)


ENV_FILE = """\
# comment
PLAIN=value   # comment
 export EXPORTED = spaced
HASH=a#b
COLOUR=#fff
EMPTY=
SINGLE='$A # kept'
QUOTED='it\\'s'
WINDOWS="C:\\dir \\\\x \\0101"
DOUBLE="say \\"hi\\"\\n$A \\$A" # comment
MULTI="first
second"
REFERS=${PLAIN}/${A}/${NONE:-none}
YAML: style
ALONE
A
bad line
"""


def test_an_env_file_is_parsed() -> None:
    parsed = parse_env_file(ENV_FILE, VARIABLES)
    assert parsed.variables == {
        "PLAIN": "value",
        "EXPORTED": "spaced",
        "HASH": "a#b",
        "COLOUR": "#fff",
        "EMPTY": "",
        "SINGLE": "$A # kept",
        "QUOTED": "it's",
        "WINDOWS": "C:\\dir \\x A",
        "DOUBLE": 'say "hi"\none $A',
        "MULTI": "first\nsecond",
        "REFERS": "value/one/none",
        "YAML": "style",
        "ALONE": None,
        "A": "one",
    }
    assert parsed.invalid_lines == (17,)


def test_a_raw_env_file_is_not_interpolated() -> None:
    assert parse_env_file("A='$x' # y\n", {}, raw=True).variables == {"A": "'$x' # y"}


def test_windows_line_ends_and_a_byte_order_mark_are_ignored() -> None:
    assert parse_env_file("\ufeffA=1\r\nB=2\r\n", {}).variables == {"A": "1", "B": "2"}


class TestInProjects:
    def test_dot_env_beside_the_compose_file_is_read(self, project: ComposeDirectory) -> None:
        project.write(".env", "TAG=1.2\nPORT=81\n")
        result = project.app("image: nginx:${TAG}\nports: ['${PORT:-80}:80']")
        assert result.spec().image == "nginx:1.2"
        assert result.spec().ports[0].host_port == 81

    def test_a_given_environment_takes_precedence_over_dot_env(self, project: ComposeDirectory) -> None:
        project.write(".env", "TAG=1.2\n")
        assert project.app("image: nginx:${TAG}", environment={"TAG": "2"}).spec().image == "nginx:2"

    def test_the_process_environment_is_not_read(
        self, project: ComposeDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TAG", "from-outside")
        assert project.app("image: nginx:${TAG:-default}").spec().image == "nginx:default"

    def test_variables_without_a_value_are_reported_by_service(self, project: ComposeDirectory) -> None:
        result = project.app("environment: {A: '$X', B: '$X'}\nlabels: {l: $Y}")
        assert result.dropped["environment.A, environment.B"].message == "the variable X has no value"
        assert result.dropped["labels.l"].message == "the variable Y has no value"

    def test_unresolved_variables_in_dot_env_are_reported_where_they_are_used(self, project: ComposeDirectory) -> None:
        project.write(".env", "URL=http://$HOST_NAME/\n")
        result = project.app("environment: {A: $URL}")
        assert result.dropped["environment.A"].message == "the variable HOST_NAME has no value"

    def test_values_of_variables_are_converted_to_the_required_type(self, project: ComposeDirectory) -> None:
        result = project.app("scale: ${N:-2}\nread_only: ${RO:-false}\nmem_limit: ${MEM:-64m}", stack="s")
        assert result.manifest("HopperInstance", "s-app")["spec"]["replicas"] == 2
        assert "read_only" not in result.dropped
        assert result.spec().resources.limits.memory == "64Mi"  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("text", "image"),
        [
            ("example/app:|version|", "example/app"),
            ("nginx: canary", "nginx"),
            ("canary 55", "shop-app:latest"),
            ("-canary-55", "shop-app:latest"),
            ("NGINX:canary", "shop-app:latest"),
        ],
    )
    def test_invalid_images_are_replaced_and_reported(self, project: ComposeDirectory, text: str, image: str) -> None:
        result = project.app(f"image: '{text}'")
        assert result.spec().image == image
        assert "not an image name" in result.dropped["image"].message
        assert not any("canary" in finding.message for finding in result.conversion.findings)

    def test_images_with_unresolved_variables_are_shortened(self, project: ComposeDirectory) -> None:
        assert project.app("image: nginx:$TAG").spec().image == "nginx"
        assert project.app("image: ${IMAGE}").spec().image == "shop-app:latest"
        assert project.app("image: ${REGISTRY}/nginx").spec().image == "shop-app:latest"

    def test_a_dollar_without_a_variable_is_kept_and_reported(self, project: ComposeDirectory) -> None:
        result = project.app("environment: {PRICE: 'a$ or $5'}")
        assert result.spec().env[0].value == "a$ or $5"
        assert "does not begin a variable" in result.changed["environment.PRICE"].message
