"""The command `hopper import compose`: options, output, exit codes."""

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

from hopper.cli.import_report import conversion_summary, printable_text, show_findings
from hopper.cli.main import app
from hopper.cli.manifest_yaml import yaml_documents
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
    result = hopper("compose.yaml")
    assert result.exit_code == 0
    assert [(manifest["kind"], manifest["metadata"]["name"]) for manifest in yaml.safe_load_all(result.stdout)] == [
        ("Secret", "db-secrets"),
        ("HopperTemplate", "web"),
        ("HopperTemplate", "db"),
    ]
    assert result.stderr.splitlines() == [
        "compose.yaml: db: securityProfile: note: Baseline, because the container may run as root. "
        "If the image can run as another user, set user and securityProfile: Restricted",
        "compose.yaml: db: hostname: not carried over: Kubernetes names the pods. "
        "Use the name of the instance's Service",
        "2 services converted; 1 not carried over, 1 note",
    ]


def test_a_directory_with_a_stack_is_printed_as_json(shop: Path) -> None:
    result = hopper(".", "--stack", "shop", "-o", "json")
    output = json.loads(result.stdout)
    assert (output["apiVersion"], output["kind"]) == ("v1", "List")
    assert [manifest["kind"] for manifest in output["items"]] == [
        "Secret",
        *["HopperTemplate"] * 2,
        *["HopperInstance"] * 3,
    ]


def test_a_dash_reads_standard_input(shop: Path) -> None:
    (shop / "a.env").write_text("A=1\n")
    result = hopper("-", stdin="services: {app: {image: a, env_file: a.env}}")
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["spec"]["env"] == [{"name": "A", "value": "1"}]


def test_binary_standard_input_is_a_problem(shop: Path) -> None:
    result = CliRunner().invoke(app, ["import", "compose", "-"], input=b"\xff\xfe")
    assert result.exit_code == 1
    assert result.stderr == "error: -: the file is not text in UTF-8: save it as UTF-8\n"


def test_strict_fails_if_a_key_is_not_carried_over(shop: Path) -> None:
    result = hopper("compose.yaml", "--strict")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "hostname: not carried over" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: --strict: ")
    (shop / "fine.yaml").write_text("services: {web: {image: nginx}}")
    assert hopper("fine.yaml", "--strict").exit_code == 0


def test_each_problem_is_one_line_and_the_exit_code_is_1(shop: Path) -> None:
    (shop / "bad.yaml").write_text("services: {web: {image: a, ports: [x], restart: sometimes}}")
    result = hopper("compose.yaml", "bad.yaml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 2
    assert all(line.startswith("error: bad.yaml: service web: ") for line in result.stderr.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.yaml"], "error: none.yaml: the file is missing: check the path"),
        (["compose.yaml", "--stack", "Shop"], "error: --stack: invalid stack name 'Shop'"),
        (["empty.yaml"], "error: empty.yaml: found no service to convert"),
    ],
)
def test_input_that_cannot_be_converted_is_explained(shop: Path, arguments: list[str], message: str) -> None:
    (shop / "empty.yaml").write_text("")
    result = hopper(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr


def test_the_environment_is_read_only_with_the_option_env(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG", "from-outside")
    (shop / "tag.yaml").write_text("services: {app: {image: 'a:${TAG:-default}'}}")
    assert "image: a:default" in hopper("tag.yaml").stdout
    assert "image: a:from-outside" in hopper("tag.yaml", "--env").stdout


def test_root_allows_files_above_the_compose_file(shop: Path) -> None:
    (shop / "shared.conf").write_text("a=1\n")
    (shop / "sub").mkdir()
    (shop / "sub" / "a.yaml").write_text("services: {app: {image: a, volumes: ['../shared.conf:/a.conf']}}")
    assert "configFiles" not in hopper("sub/a.yaml").stdout
    assert "configFiles" in hopper("sub/a.yaml", "--root", ".").stdout


def test_dry_run_and_force_conflicts_require_apply(shop: Path) -> None:
    assert hopper("compose.yaml", "--dry-run").exit_code == 2
    assert hopper("compose.yaml", "--force-conflicts").exit_code == 2


def test_apply_fails_without_a_cluster(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(shop / "none"))
    result = hopper("compose.yaml", "--apply")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: no cluster" in result.stderr


def test_help_shows_worked_examples() -> None:
    text = hopper("--help").stdout
    for example in ("hopper import compose compose.yaml", "--stack shop --apply", "docker compose config |"):
        assert example in text


def test_help_does_not_import_the_converter() -> None:
    code = (
        "import sys, hopper.cli.main; print([m for m in ('jsonschema', 'yaml', 'hopper.compose') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_equal_findings_of_several_keys_or_services_are_combined() -> None:
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


def test_control_characters_are_not_printed() -> None:
    assert printable_text("a\x1b[31m\nb\u202ec") == "a?[31m?b?c"


@pytest.mark.parametrize(("services", "text"), [(0, "0 services converted"), (1, "1 service converted")])
def test_the_summary_counts_services(services: int, text: str) -> None:
    assert conversion_summary(services, []) == text


@pytest.mark.parametrize(
    "value",
    ["yes", "n", "1e3", "0x10", "1_000", "22:22", "012", "~", "null", ".5", "-", "1.2.3", "a\nb\n", " a\nb", "a \nb",
     "a: b", "# a", "", "\x07", "é", "true", "2024-01-01", "=", "<<", "*a", "%a", "@a", "`a", "a\tb", "\u2028"],
)  # fmt: skip
def test_any_text_survives_a_round_trip_through_yaml(value: str) -> None:
    (text,) = yaml_documents([{"a": value, "b": [value], value: "c"}])
    assert yaml.safe_load(text) == {"a": value, "b": [value], value: "c"}


def test_ambiguous_texts_are_quoted() -> None:
    (text,) = yaml_documents([{"a": ["1e3", "y", "0o7", "127.0.0.1", "64Mi", "plain"]}])
    assert text.splitlines()[2:] == ['  - "1e3"', '  - "y"', '  - "0o7"', '  - "127.0.0.1"', "  - 64Mi", "  - plain"]
