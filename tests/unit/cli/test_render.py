"""`hopper render` with files: output, masking of secrets, explanation and errors."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from hopper.cli.main import app

TEMPLATE = """
apiVersion: hopper.dev/v1
kind: HopperTemplate
metadata: {name: shop}
spec:
  image: shop:1
  ports: [{containerPort: 8080}]
  env:
    - {name: MODE, value: production}
    - {name: PASSWORD, value: canary, secret: true}
"""
INSTANCES = """
apiVersion: hopper.dev/v1
kind: HopperInstance
metadata: {name: web}
spec: {scope: Project}
---
apiVersion: hopper.dev/v1
kind: HopperInstance
metadata: {name: web-shop}
spec:
  scope: Orchestration
  parentRef: {name: web}
  templateRef: {name: shop}
  overrides: {env: [{name: MODE, value: test}]}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "instances.yml").write_text(INSTANCES)
    return tmp_path


def hopper(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["render", *arguments], input=stdin)


def objects(result: Result) -> dict[str, dict]:
    assert result.exit_code == 0, result.output
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(result.stdout)}


def test_the_instances_in_a_directory_are_rendered_as_running(files: Path) -> None:
    rendered = objects(hopper("-f", str(files)))
    assert set(rendered) == {"Secret", "Service", "Deployment"}
    assert rendered["Deployment"]["metadata"]["name"] == "hopper-web-shop"
    container = rendered["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "MODE", "value": "test"} in container["env"]


def test_prefix_and_namespace_are_options(files: Path) -> None:
    deployment = objects(hopper("-f", str(files), "--prefix", "acme", "-n", "team"))["Deployment"]
    assert deployment["metadata"]["name"] == "acme-web-shop"
    assert deployment["metadata"]["namespace"] == "team"


def test_secrets_are_masked_by_default(files: Path) -> None:
    assert objects(hopper("-f", str(files)))["Secret"]["data"] == {"PASSWORD": "***"}
    assert objects(hopper("-f", str(files), "--show-secrets"))["Secret"]["data"] == {"PASSWORD": "Y2FuYXJ5"}


@pytest.mark.parametrize(
    "entry",
    [
        "{name: TOKEN, value: canary-7f: x: y, secret: true}",
        "{name: TOKEN, value: 'canary-7f, secret: true}",
        "{name: TOKEN, value: *canary-7f, secret: true}",
        "{name: TOKEN, value: !canary-7f x, secret: true}",
        "{name: TOKEN, value: [canary-7f], secret: true}",
        "{name: TOKEN, value: {canary-7f: 1}, secret: true}",
        "{name: TOKEN, value: 1, secret: canary-7f}",
        "{name: TOKEN, valeu: canary-7f, secret: true}",
        '{name: TOKEN, value: "canary-7f\\0", secret: true}',
        "{name: 1 TOKEN, value: canary-7f, secret: true}",
        "{name: TOKEN, value: canary-7f, secret: true, valueFrom: {secretKeyRef: {name: a, key: b}}}",
        "canary-7f",
        f"{{name: TOKEN, value: {'canary-7f' * 4000}, secret: true}}",
    ],
)
def test_no_error_repeats_a_value(files: Path, entry: str) -> None:
    template = TEMPLATE.replace("{name: PASSWORD, value: canary, secret: true}", entry)
    (files / "template.yaml").write_text(template)
    result = hopper("-f", str(files))
    assert result.exit_code == 2
    assert "canary" not in result.output
    assert "error: " in result.output


def test_ambiguous_strings_are_quoted(tmp_path: Path) -> None:
    """Unquoted, kubectl would read `y` and `on` as true, and 1e3 as a number."""
    strings = ["y", "N", "on", "1e3", "0x10", "1:30", "~", ".5", "null", "2020-01-01"]
    env = [
        {"name": "N", "value": string} if string == "y" else {"name": f"A{i}", "value": string}
        for i, string in enumerate(strings)
    ]
    made = [
        {"kind": "HopperTemplate", "metadata": {"name": "web"}, "spec": {"image": "y", "env": env}},
        {
            "kind": "HopperInstance",
            "metadata": {"name": "a"},
            "spec": {"scope": "Project", "templateRef": {"name": "web"}},
        },
    ]
    (tmp_path / "a.yaml").write_text(
        json.dumps({"kind": "List", "items": [{"apiVersion": "hopper.dev/v1"} | manifest for manifest in made]})
    )
    printed = hopper("-f", str(tmp_path / "a.yaml")).stdout
    assert 'image: "y"' in printed
    assert 'name: "N"' in printed
    for string in strings:
        assert re.search(rf"value: [\"']{re.escape(string)}[\"']", printed), string


def test_a_missing_parent_is_a_warning(files: Path) -> None:
    """The names of the objects depend on the ancestors."""
    assert hopper("-f", str(files)).stderr == ""
    (files / "instances.yml").write_text(INSTANCES.split("---")[1])
    assert 'warning: web-shop: spec.parentRef.name: ancestor "web" not found' in hopper("-f", str(files)).stderr


def test_an_instance_that_cannot_be_rendered_does_not_affect_others(files: Path) -> None:
    lost = INSTANCES.split("---")[1].replace("web-shop", "a-lost").replace("name: shop", "name: none")
    (files / "instances.yml").write_text(f"{INSTANCES}---{lost}")
    result = hopper("-f", str(files))
    assert result.exit_code == 2
    assert result.stderr.startswith('error: a-lost: spec.templateRef.name: HopperTemplate "none" not found: ')
    assert result.stderr.count("\n") == 1
    assert {manifest["metadata"]["name"] for manifest in yaml.safe_load_all(result.stdout)} == {"hopper-web-shop"}


def test_an_instance_that_becomes_paused_is_not_selected_by_its_service(files: Path) -> None:
    """An instance with the effective state Paused must not receive traffic while it starts."""
    selected = objects(hopper("-f", str(files)))["Service"]["spec"]["selector"]
    held = "status: {phase: Starting, effectiveState: Paused}\n"  # as it comes from a cluster
    (files / "instances.yml").write_text(INSTANCES + held)
    assert objects(hopper("-f", str(files)))["Service"]["spec"]["selector"].items() > selected.items()


def test_a_renamed_instance_uses_the_claims_of_its_predecessor(files: Path) -> None:
    project, before = INSTANCES.split("---")
    renamed = before.replace("web-shop", "web-new").replace("spec:", "spec:\n  renamedFrom: {name: web-shop}")
    before += "status: {workloadName: hopper-web-shop}\n"  # as it comes from a cluster
    (files / "instances.yml").write_text("---".join([project, before, renamed]))
    (files / "template.yaml").write_text(TEMPLATE + "  volumes: [{target: /data}]\n")
    by_kind = objects(hopper("-f", str(files), "web-new"))
    assert by_kind["Deployment"]["metadata"]["name"] == "hopper-web-new"
    assert by_kind["PersistentVolumeClaim"]["metadata"]["name"] == "hopper-web-shop-data"


def test_dates_and_times_are_strings_as_for_kubectl(files: Path) -> None:
    more = (
        "    - {name: DAY, value: 2020-01-01}\n    - {name: TIME, value: 12:30:00}\n    - {name: PI, value: 1:30.5}\n"
    )
    (files / "template.yaml").write_text(TEMPLATE + more)
    container = objects(hopper("-f", str(files)))["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert env | {"DAY": "2020-01-01", "TIME": "12:30:00", "PI": "1:30.5"} == env


def test_explain_shows_origins_without_values(files: Path) -> None:
    result = hopper("-f", str(files), "--explain")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if not line.startswith("#"))
    assert lines["env[MODE].value"] == "override"
    assert lines["image"] == "template"
    assert lines["ports[8080/TCP].protocol"] == "default"
    assert "canary" not in result.stdout


def test_explain_shows_inherited_configuration(tmp_path: Path) -> None:
    """Templates of files can use it: {{ config.routing.strategy }}."""
    specs: dict[str, dict[str, Any]] = {
        "global": {"scope": "Global", "config": {"routing": {"strategy": "Rules"}}},
        "shop": {"scope": "Project", "parentRef": {"name": "global"}, "templateRef": {"name": "web"}},
    }
    made = [{"kind": "HopperTemplate", "metadata": {"name": "web"}, "spec": {"image": "web"}}]
    made += [{"kind": "HopperInstance", "metadata": {"name": name}, "spec": spec} for name, spec in specs.items()]
    (tmp_path / "a.yaml").write_text(
        yaml.safe_dump_all({"apiVersion": "hopper.dev/v1", **manifest} for manifest in made)
    )
    result = hopper("-f", str(tmp_path / "a.yaml"), "--explain")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if not line.startswith("#"))
    assert lines["config.routing.strategy"] == "inherited from global"
    assert "config.routing.fallback" not in lines


def test_explain_shows_removals_that_match_nothing(tmp_path: Path) -> None:
    """An example is a removal of a port with the wrong protocol."""
    ports = [{"containerPort": 53, "$remove": True}, {"containerPort": 53, "protocol": "UDP", "$remove": True}]
    template = {"image": "web", "ports": [{"containerPort": 53, "protocol": "UDP"}]}
    instance = {"scope": "Project", "templateRef": {"name": "dns"}, "overrides": {"ports": ports}}
    kinds = (("HopperTemplate", "dns", template), ("HopperInstance", "a", instance))
    made = [
        {"kind": kind, "apiVersion": "hopper.dev/v1", "metadata": {"name": name}, "spec": spec}
        for kind, name, spec in kinds
    ]
    text = yaml.safe_dump_all(made)
    (tmp_path / "a.yaml").write_text(text)
    result = hopper("-f", str(tmp_path / "a.yaml"), "--explain")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if not line.startswith("#"))
    assert lines["ports[53/UDP]"] == "removed by override"
    assert lines["ports[53/TCP]"] == "nothing to remove"


def test_manifests_are_read_from_standard_input() -> None:
    assert "Deployment" in objects(hopper("-f", "-", stdin=f"{TEMPLATE}---{INSTANCES}"))


def test_the_items_of_a_list_are_rendered_in_their_namespace() -> None:
    """Example: `kubectl get hi,ht -o yaml | hopper render -f -`."""
    items = list(yaml.safe_load_all(f"{TEMPLATE}---{INSTANCES}"))
    for item in items:
        item["metadata"]["namespace"] = "team-a"
    foreign = {"apiVersion": "example.com/v1", "kind": "HopperInstance", "metadata": {"namespace": "b"}}
    rendered = objects(hopper("-f", "-", stdin=yaml.safe_dump({"kind": "List", "items": [*items, foreign]})))
    assert {manifest["metadata"]["namespace"] for manifest in rendered.values()} == {"team-a"}


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["-f", "missing.yaml"], None, "missing.yaml: no such file"),
        (["-f", "-"], "a: [", "standard input"),
        (["-f", "-"], "42", "standard input: a document is not an object"),
        (["-f", "-"], "metadata: 3", "standard input: a document is not an object"),
        (
            ["-f", "-"],
            INSTANCES.replace("templateRef", "templatRef"),
            "web-shop: unknown field spec.templatRef",
        ),
        (["-f", "-"], TEMPLATE.replace("containerPort", "port"), "unknown field spec.ports[0].port: correct"),
        (
            ["-f", "-", "-n", "b"],
            TEMPLATE.replace("shop}", "shop, namespace: a}"),
            "metadata.namespace: expected b, but there are objects in a",
        ),
        (["-f", "-"], INSTANCES, 'web-shop: spec.templateRef.name: HopperTemplate "shop" not found'),
        (["web", "-f", "-"], INSTANCES, "web: spec.templateRef is not set"),
        (["nope", "-f", "-"], INSTANCES, 'HopperInstance "nope" not found'),
        (["-f", "-"], TEMPLATE.replace("image: shop:1", "image: ''"), "HopperTemplate shop"),
        (["-f", "-"], (TEMPLATE + "---" + INSTANCES).replace("MODE, value: test", "MODE"), "spec.overrides.env[MODE]"),
    ],
)
def test_errors_name_the_manifest_and_the_field(arguments: list[str], stdin: str | None, message: str) -> None:
    result = hopper(*arguments, stdin=stdin)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


INSTANCE = """
apiVersion: hopper.dev/v1
kind: HopperInstance
metadata: {name: web}
spec: {scope: Project, config: {extra: EXTRA}}
"""
BOMB = "{a0: &a0 [x, x], " + ", ".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)) + "}"


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ("{a: " * 65 + "1" + "}" * 65, "nested more than 64 levels deep"),
        ("{a: " * 5000 + "1" + "}" * 5000, "nested too deep"),
        ("[" * 5000 + "]" * 5000, "nested too deep"),
        ("&x {a: *x}", "nested more than 64 levels deep"),
        (BOMB, "more than 2000000 values"),
        ("{a: .inf}", "too large"),
        ("{a: " + "9" * 5000 + "}", "a value cannot be read"),
        ("{a: " + "9" * 400 + "}", "too large"),
        ('{a: "\\ud800"}', ""),
    ],
    ids=range(9),
)
def test_a_hostile_file_is_refused_with_a_message(tmp_path: Path, extra: str, problem: str) -> None:
    (tmp_path / "web.yaml").write_text(INSTANCE.replace("EXTRA", extra))
    result = hopper("-f", str(tmp_path / "web.yaml"))
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("error: ")
    assert problem in result.stderr


def test_lists_that_contain_themselves_are_refused() -> None:
    result = hopper("-f", "-", stdin="&list {kind: List, metadata: {}, items: [*list]}")
    assert result.exit_code == 2
    assert "more than 8 Lists are nested" in result.stderr
