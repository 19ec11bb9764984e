"""`hopper import compose`, as a user types it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from typer.testing import CliRunner, Result

from hopper.cli.findings import printable, show_findings, summary
from hopper.cli.main import app
from hopper.cli.yaml_output import documents
from hopper.compose.report import Finding, Outcome


def hopper(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["import", "compose", *args], input=stdin)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compose file in the current directory."""
    monkeypatch.chdir(tmp_path)
    text = """
        services:
          web:
            image: nginx:1.29
            ports: ["8080:80"]
            user: "101"
          db:
            image: postgres:17
            environment: {POSTGRES_PASSWORD: canary-1}
            hostname: db
        """
    (tmp_path / "compose.yaml").write_text(dedent(text))
    return tmp_path


def test_manifests_go_to_stdout_and_the_report_to_stderr(shop: Path) -> None:
    done = hopper("compose.yaml")
    assert done.exit_code == 0
    assert [(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(done.stdout)] == [
        ("Secret", "db-secrets"),
        ("HopperTemplate", "web"),
        ("HopperTemplate", "db"),
    ]
    assert done.stderr.splitlines() == [
        "compose.yaml: db: securityProfile: note: Baseline, as it may run as root. "
        "If the image can run as another user than root, set user and securityProfile: Restricted",
        "compose.yaml: db: hostname: not carried over: pods are named by Kubernetes. "
        "Use the name of the instance's Service",
        "2 services converted; 1 not carried over, 1 note",
    ]


def test_a_directory_a_stack_and_json(shop: Path) -> None:
    done = hopper(".", "--stack", "shop", "-o", "json")
    found = json.loads(done.stdout)
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    assert [one["kind"] for one in found["items"]] == ["Secret", *["HopperTemplate"] * 2, *["HopperInstance"] * 3]


def test_standard_input(shop: Path) -> None:
    (shop / "a.env").write_text("A=1\n")
    done = hopper("-", stdin="services: {app: {image: a, env_file: a.env}}")
    assert done.exit_code == 0
    assert yaml.safe_load(done.stdout)["spec"]["env"] == [{"name": "A", "value": "1"}]


def test_standard_input_that_is_no_text(shop: Path) -> None:
    done = CliRunner().invoke(app, ["import", "compose", "-"], input=b"\xff\xfe")
    assert done.exit_code == 1
    assert done.stderr == "error: -: the file is not text in UTF-8: save it as that\n"


def test_strict_refuses_any_loss(shop: Path) -> None:
    done = hopper("compose.yaml", "--strict")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "hostname: not carried over" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: --strict: ")
    (shop / "fine.yaml").write_text("services: {web: {image: nginx}}")
    assert hopper("fine.yaml", "--strict").exit_code == 0


def test_problems_are_lines_and_exit_code_1(shop: Path) -> None:
    (shop / "bad.yaml").write_text("services: {web: {image: a, ports: [x], restart: sometimes}}")
    done = hopper("compose.yaml", "bad.yaml")
    assert (done.exit_code, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 2
    assert all(line.startswith("error: bad.yaml: service web: ") for line in done.stderr.splitlines())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.yaml"], "error: none.yaml: the file is missing: check the path"),
        (["compose.yaml", "--stack", "Shop"], "error: --stack: a stack cannot be called 'Shop'"),
        (["empty.yaml"], "error: empty.yaml: no service was found that could be converted"),
    ],
)
def test_what_cannot_be_converted(shop: Path, arguments: list[str], said: str) -> None:
    (shop / "empty.yaml").write_text("")
    done = hopper(*arguments)
    assert done.exit_code == 1
    assert said in done.stderr


def test_the_environment_is_asked_for(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG", "from-outside")
    (shop / "tag.yaml").write_text("services: {app: {image: 'a:${TAG:-default}'}}")
    assert "image: a:default" in hopper("tag.yaml").stdout
    assert "image: a:from-outside" in hopper("tag.yaml", "--env").stdout


def test_files_from_a_root(shop: Path) -> None:
    (shop / "shared.conf").write_text("a=1\n")
    (shop / "sub").mkdir()
    (shop / "sub" / "a.yaml").write_text("services: {app: {image: a, volumes: ['../shared.conf:/a.conf']}}")
    assert "configFiles" not in hopper("sub/a.yaml").stdout
    assert "configFiles" in hopper("sub/a.yaml", "--root", ".").stdout


def test_options_that_need_apply(shop: Path) -> None:
    assert hopper("compose.yaml", "--dry-run").exit_code == 2
    assert hopper("compose.yaml", "--force-conflicts").exit_code == 2


def test_apply_without_a_cluster(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(shop / "none"))
    done = hopper("compose.yaml", "--apply")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "error: no cluster" in done.stderr


def test_help_shows_worked_examples() -> None:
    text = hopper("--help").stdout
    for example in ("hopper import compose compose.yaml", "--stack shop --apply", "docker compose config |"):
        assert example in text


def test_help_needs_none_of_the_machinery() -> None:
    code = (
        "import sys, hopper.cli.main; print([m for m in ('jsonschema', 'yaml', 'hopper.compose') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    stream = Terminal()
    findings = [
        Finding("a.yaml", "web", "ports[0]", Outcome.DROPPED, "it is lost", "Write it down"),
        Finding("a.yaml", "web", "[red]x[/]", Outcome.CHANGED, "it is new"),
        Finding("b.yaml", None, "version", Outcome.NOTE, "old"),
    ]
    show_findings(findings, stream)
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines() if line.strip()]
    assert lines[0] == "a.yaml"
    assert lines[1].split() == ["Service", "Key", "What", "What", "to", "do"]
    assert re.fullmatch(r" *web +ports\[0\] +not carried over +it is lost +Write it down", lines[3])
    assert re.fullmatch(r" *\[red\]x\[/\] +changed +it is new", lines[4])
    assert "b.yaml" in lines


def test_what_is_said_of_several_alike_is_said_once() -> None:
    stream = io.StringIO()
    findings = [
        Finding("a.yaml", "web", "networks", Outcome.DROPPED, "it is lost", "Write it down"),
        Finding("a.yaml", "web", "ports[0]", Outcome.CHANGED, "it is new"),
        Finding("a.yaml", "web", "ports[1]", Outcome.CHANGED, "it is new"),
        Finding("a.yaml", "db", "networks", Outcome.DROPPED, "it is lost", "Write it down"),
        Finding("a.yaml", None, "networks", Outcome.DROPPED, "it is lost", "Write it down"),
        Finding("b.yaml", "db", "networks", Outcome.DROPPED, "it is lost", "Write it down"),
    ]
    show_findings(findings, stream)
    assert stream.getvalue().splitlines() == [
        "a.yaml: web, db: networks: not carried over: it is lost. Write it down",
        "a.yaml: web: ports[0], ports[1]: changed: it is new",
        "a.yaml: networks: not carried over: it is lost. Write it down",
        "b.yaml: db: networks: not carried over: it is lost. Write it down",
    ]


def test_names_cannot_steer_a_terminal() -> None:
    assert printable("a\x1b[31m\nb\u202ec") == "a?[31m?b?c"


@pytest.mark.parametrize(("services", "text"), [(0, "0 services converted"), (1, "1 service converted")])
def test_summary(services: int, text: str) -> None:
    assert summary(services, []) == text


@pytest.mark.parametrize(
    "value",
    ["yes", "n", "1e3", "0x10", "1_000", "22:22", "012", "~", "null", ".5", "-", "1.2.3", "a\nb\n", " a\nb", "a \nb",
     "a: b", "# a", "", "\x07", "é", "true", "2024-01-01", "=", "<<", "*a", "%a", "@a", "`a", "a\tb", "\u2028"],
)  # fmt: skip
def test_texts_stay_texts(value: str) -> None:
    (text,) = documents([{"a": value, "b": [value], value: "c"}])
    assert yaml.safe_load(text) == {"a": value, "b": [value], value: "c"}


def test_ambiguous_texts_are_quoted() -> None:
    (text,) = documents([{"a": ["1e3", "y", "0o7", "127.0.0.1", "64Mi", "plain"]}])
    assert text.splitlines()[2:] == ['  - "1e3"', '  - "y"', '  - "0o7"', '  - "127.0.0.1"', "  - 64Mi", "  - plain"]
