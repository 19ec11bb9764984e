"""Problems name the place, the reason and the fix, and never quote a value."""

from __future__ import annotations

import pytest

from hopper.compose.convert import convert
from hopper.compose.report import ComposeError
from tests.unit.compose.compose_directory import ComposeDirectory


def test_other_yaml_files_are_refused(project: ComposeDirectory) -> None:
    for text in ("jobs: {test: {steps: []}}", "kind: Service\nspec: {}", "# nothing"):
        assert [problem.partition(": ")[2] for problem in project.problems(text)] == [
            "found no service to convert: name a file with `services:`"
        ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("image: [a]", "image: the value is a list, not a text: write the image as text, as in `image: nginx:1.29`"),
        ("image: ' '", "image: the service has neither image nor build: add the image"),
        ("ports: 80", 'ports: the value is a single value, not a list: write a list, as in `- "8080:80"`'),
        ("ports: {80: 80}", 'ports: the value is a mapping, not a list: write a list, as in `- "8080:80"`'),
        (
            "volumes: a:/b",
            "volumes: the value is a single value, not a list: write a list, as in `- data:/var/lib/data`",
        ),
        ("volumes: [{source: a}]", "volumes[0]: type is missing: add it"),
        ("volumes: [[a]]", "volumes[0]: the value is a list, which is not allowed here: write a list, as in"),
        ("healthcheck: curl", "healthcheck: the value is a single value, not a mapping: write a mapping, as in"),
        (
            "healthcheck: {test: {a: b}}",
            "healthcheck.test: the value is a mapping, which is not allowed here: write a text",
        ),
        ("depends_on: {db: {condition: ready}}", "depends_on.db.condition: the value is not one of the allowed words"),
        ("depends_on: {db: {}}", "depends_on.db: condition is missing: add it"),
        (
            "healthcheck: {timeout: [1]}",
            "healthcheck.timeout: the value is a list, not a text: see the Compose Specification",
        ),
        ("deploy: [a]", "deploy: the value is a list, not a mapping or nothing"),
        ("command: {a: b}", "command: the value is a mapping"),
        (
            "environment: 5",
            "environment: the value is a single value, which is not allowed here: write `NAME: value` lines",
        ),
        ("extends: {file: x}", "extends: it names no service: set extends.service"),
    ],
)
def test_values_of_the_wrong_shape_are_problems(project: ComposeDirectory, text: str, problem: str) -> None:
    messages = project.app_problems(text)
    assert any(message.startswith(f"compose.yaml: service app: {problem}") for message in messages), messages


@pytest.mark.parametrize(
    "text",
    ["command: {a: b}", "environment: [{a: b}]", "depends_on: a", "healthcheck: {test: {a: b}}", "ports: [[80]]"],
)
def test_each_problem_is_reported_once(project: ComposeDirectory, text: str) -> None:
    assert len(project.app_problems(text)) == 1


def test_empty_entries_of_a_list_are_noted(project: ComposeDirectory) -> None:
    assert project.app("command: [a, null]\nports: [null, '80']").notes.keys() >= {"command[1]", "ports[0]"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services: [a]", "compose.yaml: services: the value is a list, not a mapping"),
        ("services: {app: nginx}", "compose.yaml: service app: the service is not a mapping"),
        ("services: {app: }", "compose.yaml: service app: the service is not a mapping"),
        ("services: {}", "found no service to convert"),
        ("volumes: {a: {}}", "found no service to convert"),
        ("nothing: here", "found no service to convert"),
        ("services: {app: {image: a}}\nsecrets: [a]", "compose.yaml: secrets: the value is a list, not a mapping"),
    ],
)
def test_sections_of_the_wrong_shape_are_problems(project: ComposeDirectory, text: str, problem: str) -> None:
    assert any(problem in message for message in project.problems(text))


@pytest.mark.parametrize(
    "text",
    [
        "user: 1000",
        "command: [sleep, 100]",
        "healthcheck: {test: a, interval: 30}",
        "privileged: 'true'",
        "ports: [80, 80]",
        "dns: [1.1.1.1, 1.1.1.1]",
        "mem_limit: 5.5",
        "depends_on: {db: }",
        "expose: [true]",
        "restart: no",
    ],
)
def test_scalars_of_another_type_are_read_by_their_text(project: ComposeDirectory, text: str) -> None:
    if text == "expose: [true]":
        assert "the value is not a port" in project.app_problems(text)[0]
    else:
        assert project.app(text).spec().image == "example/app:1"


def test_empty_keys_are_noted(project: ComposeDirectory) -> None:
    result = project.app("ports:\nvolumes:\nenvironment:\ncommand:\n")
    assert {"ports", "volumes", "environment", "command"} <= result.notes.keys()
    assert not result.dropped


def test_unknown_keys_are_reported_at_every_depth(project: ComposeDirectory) -> None:
    result = project.app(
        """
        bogus: 1
        x-own: 1
        ports: [{target: 80, bogus: 1}]
        volumes: [{type: volume, source: a, target: /a, bogus: 1, volume: {bogus: 1}, x-y: 1}]
        healthcheck: {test: a, bogus: 1}
        deploy: {bogus: 1, resources: {bogus: 1, limits: {bogus: 1}}, restart_policy: {bogus: 1}}
        depends_on: {db: {condition: service_started, bogus: 1}}
        configs: [{source: a, bogus: 1}]
        secrets: [{source: a, bogus: 1}]
        env_file: [{path: a, required: false, bogus: 1}]
        """
    )
    assert {key for key in result.dropped if key.endswith("bogus")} == {
        "bogus",
        "ports[0].bogus",
        "volumes[0].bogus",
        "volumes[0].volume.bogus",
        "healthcheck.bogus",
        "deploy.bogus",
        "deploy.resources.bogus",
        "deploy.resources.limits.bogus",
        "deploy.restart_policy.bogus",
        "depends_on.db.bogus",
        "configs[0].bogus",
        "secrets[0].bogus",
        "env_file.bogus",
    }
    assert {"x-own", "volumes[0].x-y"} <= result.notes.keys()


@pytest.mark.parametrize(
    "text",
    [
        "ports: [canary-55]",
        "ports: {canary-55: canary-55}",
        "environment: [[canary-55]]",
        "environment: {A: [canary-55]}",
        "healthcheck: canary-55",
        "healthcheck: {test: a, interval: canary-55}",
        "depends_on: {db: {condition: canary-55}}",
        "restart: canary-55",
        "mem_limit: canary-55",
        "volumes: ['canary-55:a:b:c']",
        'command: "\'canary-55"',
        "configs: [[canary-55]]",
    ],
)
def test_problems_do_not_quote_values(project: ComposeDirectory, text: str) -> None:
    assert all("canary-55" not in problem for problem in project.app_problems(text))


def test_large_and_binary_files_are_problems(project: ComposeDirectory) -> None:
    path = project.write("big.yaml", "x" * (1024 * 1024 + 1))
    with pytest.raises(ComposeError, match="is larger than 1024 KiB"):
        convert([path])
    path = project.write("binary.yaml", b"\xff\xfe\x00")
    with pytest.raises(ComposeError, match="is not text in UTF-8"):
        convert([path])
