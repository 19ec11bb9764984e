"""`hopper render` offline: what it prints, hides, explains and refuses."""

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
    return {it["kind"]: it for it in yaml.safe_load_all(result.stdout)}


def test_a_directory_is_rendered_as_for_running_instances(files: Path) -> None:
    rendered = objects(hopper("-f", str(files)))
    assert set(rendered) == {"Secret", "Service", "Deployment"}
    assert rendered["Deployment"]["metadata"]["name"] == "hopper-web-shop"
    container = rendered["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "MODE", "value": "test"} in container["env"]


def test_prefix_and_namespace_are_the_callers(files: Path) -> None:
    deployment = objects(hopper("-f", str(files), "--prefix", "acme", "-n", "team"))["Deployment"]
    assert deployment["metadata"]["name"] == "acme-web-shop"
    assert deployment["metadata"]["namespace"] == "team"


def test_secrets_are_masked_unless_asked_for(files: Path) -> None:
    assert objects(hopper("-f", str(files)))["Secret"]["data"] == {"PASSWORD": "***"}
    assert objects(hopper("-f", str(files), "--show-secrets"))["Secret"]["data"] == {"PASSWORD": "Y2FuYXJ5"}


def test_words_are_words_to_every_parser(tmp_path: Path) -> None:
    """kubectl takes a plain `y` or `on` for true, and 1e3 for a number."""
    words = ["y", "N", "on", "1e3", "0x10", "1:30", "~", ".5", "null", "2020-01-01"]
    env = [
        {"name": "N", "value": word} if word == "y" else {"name": f"A{i}", "value": word}
        for i, word in enumerate(words)
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
        json.dumps({"kind": "List", "items": [{"apiVersion": "hopper.dev/v1"} | it for it in made]})
    )
    printed = hopper("-f", str(tmp_path / "a.yaml")).stdout
    assert 'image: "y"' in printed
    assert 'name: "N"' in printed
    for word in words:
        assert re.search(rf"value: [\"']{re.escape(word)}[\"']", printed), word


def test_a_parent_that_is_not_there_is_missed(files: Path) -> None:
    """Below a Project, the objects have other names than without one."""
    assert hopper("-f", str(files)).stderr == ""
    (files / "instances.yml").write_text(INSTANCES.split("---")[1])
    assert 'warning: web-shop: "web", which is above it (spec.parentRef.name)' in hopper("-f", str(files)).stderr


def test_one_that_cannot_be_rendered_keeps_nobody_else_from_it(files: Path) -> None:
    lost = INSTANCES.split("---")[1].replace("web-shop", "a-lost").replace("name: shop", "name: none")
    (files / "instances.yml").write_text(f"{INSTANCES}---{lost}")
    result = hopper("-f", str(files))
    assert result.exit_code == 2
    assert result.stderr == 'error: a-lost: there is no HopperTemplate "none" (spec.templateRef.name)\n'
    assert {it["metadata"]["name"] for it in yaml.safe_load_all(result.stdout)} == {"hopper-web-shop"}


def test_what_is_held_out_of_its_service_is_shown_so(files: Path) -> None:
    """An instance on its way to Paused is not to serve for a moment."""
    selected = objects(hopper("-f", str(files)))["Service"]["spec"]["selector"]
    held = "status: {phase: Starting, effectiveState: Paused}\n"  # as it comes from a cluster
    (files / "instances.yml").write_text(INSTANCES + held)
    assert objects(hopper("-f", str(files)))["Service"]["spec"]["selector"].items() > selected.items()


def test_a_renamed_instance_has_the_claims_of_the_one_before(files: Path) -> None:
    project, before = INSTANCES.split("---")
    renamed = before.replace("web-shop", "web-new").replace("spec:", "spec:\n  renamedFrom: {name: web-shop}")
    before += "status: {workloadName: hopper-web-shop}\n"  # as it comes from a cluster
    (files / "instances.yml").write_text("---".join([project, before, renamed]))
    (files / "template.yaml").write_text(TEMPLATE + "  volumes: [{target: /data}]\n")
    found = objects(hopper("-f", str(files), "web-new"))
    assert found["Deployment"]["metadata"]["name"] == "hopper-web-new"
    assert found["PersistentVolumeClaim"]["metadata"]["name"] == "hopper-web-shop-data"


def test_dates_and_times_are_texts_as_to_kubectl(files: Path) -> None:
    more = (
        "    - {name: DAY, value: 2020-01-01}\n    - {name: TIME, value: 12:30:00}\n    - {name: PI, value: 1:30.5}\n"
    )
    (files / "template.yaml").write_text(TEMPLATE + more)
    container = objects(hopper("-f", str(files)))["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    given = {it["name"]: it.get("value") for it in container["env"]}
    assert given | {"DAY": "2020-01-01", "TIME": "12:30:00", "PI": "1:30.5"} == given


def test_explain_tells_origins_and_no_values(files: Path) -> None:
    result = hopper("-f", str(files), "--explain")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if not line.startswith("#"))
    assert lines["env[MODE].value"] == "override"
    assert lines["image"] == "template"
    assert lines["ports[8080/TCP].protocol"] == "default"
    assert "canary" not in result.stdout


def test_explain_tells_what_is_inherited(tmp_path: Path) -> None:
    """Files may be rendered with it: {{ config.routing.strategy }}."""
    specs: dict[str, dict[str, Any]] = {
        "global": {"scope": "Global", "config": {"routing": {"strategy": "Rules"}}},
        "shop": {"scope": "Project", "parentRef": {"name": "global"}, "templateRef": {"name": "web"}},
    }
    made = [{"kind": "HopperTemplate", "metadata": {"name": "web"}, "spec": {"image": "web"}}]
    made += [{"kind": "HopperInstance", "metadata": {"name": name}, "spec": spec} for name, spec in specs.items()]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all({"apiVersion": "hopper.dev/v1", **one} for one in made))
    result = hopper("-f", str(tmp_path / "a.yaml"), "--explain")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if not line.startswith("#"))
    assert lines["config.routing.strategy"] == "inherited from global"
    assert "config.routing.fallback" not in lines


def test_explain_tells_what_was_not_there_to_be_removed(tmp_path: Path) -> None:
    """Such as a port of another protocol than the one that was meant."""
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
    assert lines["ports[53/TCP]"] == "not there to be removed"


def test_standard_input_is_read() -> None:
    assert "Deployment" in objects(hopper("-f", "-", stdin=f"{TEMPLATE}---{INSTANCES}"))


def test_a_list_is_taken_apart_and_its_namespace_kept() -> None:
    """As in `kubectl get hi,ht -o yaml | hopper render -f -`."""
    items = list(yaml.safe_load_all(f"{TEMPLATE}---{INSTANCES}"))
    for item in items:
        item["metadata"]["namespace"] = "team-a"
    foreign = {"apiVersion": "example.com/v1", "kind": "HopperInstance", "metadata": {"namespace": "b"}}
    rendered = objects(hopper("-f", "-", stdin=yaml.safe_dump({"kind": "List", "items": [*items, foreign]})))
    assert {it["metadata"]["namespace"] for it in rendered.values()} == {"team-a"}


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["-f", "missing.yaml"], None, "missing.yaml: no such file"),
        (["-f", "-"], "a: [", "standard input"),
        (["-f", "-"], "42", "standard input: there is something that is not an object"),
        (["-f", "-"], "metadata: 3", "standard input: there is something that is not an object"),
        (
            ["-f", "-"],
            INSTANCES.replace("templateRef", "templatRef"),
            "web-shop: unknown field spec.templatRef",
        ),
        (["-f", "-"], TEMPLATE.replace("containerPort", "port"), "unknown field spec.ports[0].port: correct"),
        (["-f", "-", "-n", "b"], TEMPLATE.replace("shop}", "shop, namespace: a}"), "objects of namespace a, not b"),
        (["-f", "-"], INSTANCES, 'there is no HopperTemplate "shop" (spec.templateRef.name)'),
        (["web", "-f", "-"], INSTANCES, "web is a logical instance"),
        (["nope", "-f", "-"], INSTANCES, "there is no HopperInstance 'nope'"),
        (["-f", "-"], TEMPLATE.replace("image: shop:1", "image: ''"), "HopperTemplate shop"),
        (["-f", "-"], (TEMPLATE + "---" + INSTANCES).replace("MODE, value: test", "MODE"), "spec.overrides.env[MODE]"),
    ],
)
def test_what_cannot_be_rendered_is_said_plainly(arguments: list[str], stdin: str | None, message: str) -> None:
    result = hopper(*arguments, stdin=stdin)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
