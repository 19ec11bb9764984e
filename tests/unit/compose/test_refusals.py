"""What is refused says where, why, and what to write instead, and never quotes a value."""

from __future__ import annotations

import pytest

from hopper.compose.convert import convert
from hopper.compose.errors import ComposeError
from tests.unit.compose.converting import Project


def test_what_is_no_compose_file(project: Project) -> None:
    for text in ("jobs: {test: {steps: []}}", "kind: Service\nspec: {}", "# nothing"):
        assert [problem.partition(": ")[2] for problem in project.problems(text)] == [
            "no service was found that could be converted: name a file with `services:`"
        ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("image: [a]", "image: this is a list, not a text: write the image as text, as in `image: nginx:1.29`"),
        ("image: ' '", "image: there is neither image nor build: add the image"),
        ("ports: 80", 'ports: this is a single value, not a list: write a list, as in `- "8080:80"`'),
        ("ports: {80: 80}", 'ports: this is a mapping, not a list: write a list, as in `- "8080:80"`'),
        ("volumes: a:/b", "volumes: this is a single value, not a list: write a list, as in `- data:/var/lib/data`"),
        ("volumes: [{source: a}]", "volumes[0]: type is missing: add it"),
        ("volumes: [[a]]", "volumes[0]: this is a list, which does not fit here: write a list, as in"),
        ("healthcheck: curl", "healthcheck: this is a single value, not a mapping: write a mapping, as in"),
        ("healthcheck: {test: {a: b}}", "healthcheck.test: this is a mapping, which does not fit here: write a text"),
        ("depends_on: {db: {condition: ready}}", "depends_on.db.condition: this is none of the words that are allowed"),
        ("depends_on: {db: {}}", "depends_on.db: condition is missing: add it"),
        (
            "healthcheck: {timeout: [1]}",
            "healthcheck.timeout: this is a list, not a text: see the Compose Specification",
        ),
        ("deploy: [a]", "deploy: this is a list, not a mapping or nothing"),
        ("command: {a: b}", "command: this is a mapping"),
        ("environment: 5", "environment: this is a single value, which does not fit here: write `NAME: value` lines"),
        ("extends: {file: x}", "extends: it does not say which service: set extends.service"),
    ],
)
def test_shapes(project: Project, text: str, problem: str) -> None:
    found = project.app_problems(text)
    assert any(one.startswith(f"compose.yaml: service app: {problem}") for one in found), found


@pytest.mark.parametrize(
    "text",
    ["command: {a: b}", "environment: [{a: b}]", "depends_on: a", "healthcheck: {test: {a: b}}", "ports: [[80]]"],
)
def test_each_is_told_once(project: Project, text: str) -> None:
    assert len(project.app_problems(text)) == 1


def test_what_is_empty_in_a_list_is_noted(project: Project) -> None:
    assert project.app("command: [a, null]\nports: [null, '80']").notes.keys() >= {"command[1]", "ports[0]"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services: [a]", "compose.yaml: services: this is a list, not a mapping"),
        ("services: {app: nginx}", "compose.yaml: service app: the service is not a mapping"),
        ("services: {app: }", "compose.yaml: service app: the service is not a mapping"),
        ("services: {}", "no service was found that could be converted"),
        ("volumes: {a: {}}", "no service was found that could be converted"),
        ("nothing: here", "no service was found that could be converted"),
        ("services: {app: {image: a}}\nsecrets: [a]", "compose.yaml: secrets: this is a list, not a mapping"),
    ],
)
def test_files(project: Project, text: str, problem: str) -> None:
    assert any(problem in one for one in project.problems(text))


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
def test_scalars_are_read_as_what_they_say(project: Project, text: str) -> None:
    if text == "expose: [true]":
        assert "this is no port" in project.app_problems(text)[0]
    else:
        assert project.app(text).spec().image == "example/app:1"


def test_empty_keys_are_noted(project: Project) -> None:
    result = project.app("ports:\nvolumes:\nenvironment:\ncommand:\n")
    assert {"ports", "volumes", "environment", "command"} <= result.notes.keys()
    assert not result.dropped


def test_unknown_keys_are_reported_at_every_depth(project: Project) -> None:
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
def test_values_are_not_quoted(project: Project, text: str) -> None:
    assert all("canary-55" not in problem for problem in project.app_problems(text))


def test_files_that_cannot_be_read(project: Project) -> None:
    path = project.write("big.yaml", "x" * (1024 * 1024 + 1))
    with pytest.raises(ComposeError, match="is larger than 1024 KiB"):
        convert([path])
    path = project.write("binary.yaml", b"\xff\xfe\x00")
    with pytest.raises(ComposeError, match="is not text in UTF-8"):
        convert([path])
