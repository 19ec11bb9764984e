"""`hopper import compose` against a real API server: validation of the manifests, and `--apply`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from hopper.cli.main import app
from hopper.local import Cluster
from hopper.local.errors import KubectlError
from tests.unit.compose.golden_outputs import FIXTURES, SOURCES

SAMPLES = os.environ.get("HOPPER_COMPOSE_SAMPLES")
FILES = [FIXTURES / source for source in SOURCES]
FILES += sorted(path for path in Path(SAMPLES).iterdir() if path.suffix in (".yml", ".yaml")) if SAMPLES else []

COMPOSE = """
services:
  web:
    image: nginx:1.29
    ports: ["8080:80"]
    depends_on: [db]
  db:
    image: postgres:17
    environment: {POSTGRES_PASSWORD: %s}
    volumes: ["data:/var/lib/postgresql/data"]
volumes:
  data:
"""

pytestmark = pytest.mark.usefixtures("crds")

Import = Callable[..., Result]


def hopper(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


@pytest.fixture
def import_compose(cluster: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """Return a function that imports a compose file with a password into the namespace of the test."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    path = tmp_path / "compose.yaml"

    def run(*args: str, password: str = "canary-1") -> Result:
        path.write_text(COMPOSE % password, encoding="utf-8")
        return hopper("import", "compose", str(path), "--namespace", namespace, *args)

    return run


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_the_api_server_accepts_all_manifests(cluster: Cluster, namespace: str, path: Path) -> None:
    result = hopper("import", "compose", str(path), "--stack", "demo")
    assert result.exit_code == 0, result.stderr
    expected = [
        (manifest["kind"].lower(), manifest["metadata"]["name"]) for manifest in yaml.safe_load_all(result.stdout)
    ]
    output = cluster.kubectl(
        *(
            "apply",
            "--server-side",
            "--dry-run=server",
            "--validate=strict",
            f"--namespace={namespace}",
            "--filename=-",
        ),
        input=result.stdout,
    )
    assert len(output.splitlines()) == len(expected)
    for (kind, name), line in zip(expected, output.splitlines(), strict=True):
        assert line.startswith(kind)
        assert f"/{name} serverside-applied (server dry run)" in line


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_the_api_server_accepts_the_rendered_objects(
    cluster: Cluster, namespace: str, path: Path, tmp_path: Path
) -> None:
    imported = tmp_path / "imported.yaml"
    imported.write_text(hopper("import", "compose", str(path), "--stack", "demo").stdout, encoding="utf-8")
    rendered = hopper("render", "-f", str(imported), "--namespace", namespace, "--show-secrets")
    assert rendered.exit_code == 0, rendered.stderr
    objects = list(yaml.safe_load_all(rendered.stdout))
    assert {"Deployment"} <= {manifest["kind"] for manifest in objects}
    output = cluster.kubectl(
        *(
            "apply",
            "--server-side",
            "--dry-run=server",
            "--validate=strict",
            f"--namespace={namespace}",
            "--filename=-",
        ),
        input=rendered.stdout,
    )
    assert len(output.splitlines()) == len(objects)


class TestApply:
    def test_apply_reports_created_unchanged_and_configured_objects(self, import_compose: Import) -> None:
        first = import_compose("--stack", "shop", "--apply")
        assert first.exit_code == 0, first.stderr
        assert first.stdout.splitlines() == [
            "secret/db-secrets created",
            "hoppertemplate.hopper.dev/web created",
            "hoppertemplate.hopper.dev/db created",
            "hopperinstance.hopper.dev/shop created",
            "hopperinstance.hopper.dev/shop-web created",
            "hopperinstance.hopper.dev/shop-db created",
        ]
        assert "2 services converted" in first.stderr
        again = import_compose("--stack", "shop", "--apply")
        assert [line.rpartition(" ")[2] for line in again.stdout.splitlines()] == ["unchanged"] * 6
        changed = import_compose("--stack", "shop", "--apply", password="canary-2")
        assert changed.stdout.splitlines()[:2] == [
            "secret/db-secrets configured",
            "hoppertemplate.hopper.dev/web unchanged",
        ]

    def test_objects_of_another_stack_are_not_changed(
        self, import_compose: Import, cluster: Cluster, namespace: str
    ) -> None:
        import_compose("--stack", "shop", "--apply")
        result = import_compose("--stack", "other", "--apply", password="canary-2")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "error: hoppertemplate.hopper.dev/web belongs to the stack shop" in result.stderr
        assert "other" not in cluster.kubectl("get", "hi", "--namespace", namespace, "--output=name")
        assert import_compose("--stack", "other", "--apply", "--force-conflicts").exit_code == 0

    def test_the_objects_are_stored_by_the_field_manager_of_the_import(
        self, import_compose: Import, cluster: Cluster, namespace: str
    ) -> None:
        import_compose("--stack", "shop", "--apply")
        stored = cluster.kubectl("get", "hi,ht", "--namespace", namespace, "--output=yaml", "--show-managed-fields")
        objects = {manifest["metadata"]["name"]: manifest for manifest in yaml.safe_load(stored)["items"]}
        assert objects["shop-web"]["spec"]["templateRef"] == {"name": "web"}
        assert objects["web"]["spec"]["dependsOn"] == ["db"]
        assert {field["manager"] for field in objects["web"]["metadata"]["managedFields"]} == {"hopper-import"}
        assert "canary-1" not in stored
        secret = cluster.kubectl(
            *("get", "secret", "db-secrets", "--namespace", namespace),
            "--output=go-template={{.data.POSTGRES_PASSWORD | base64decode}}",
        )
        assert secret == "canary-1"

    def test_a_dry_run_writes_nothing(self, import_compose: Import, cluster: Cluster, namespace: str) -> None:
        result = import_compose("--apply", "--dry-run")
        assert result.stdout.splitlines()[0] == "secret/db-secrets created (server dry run)"
        assert cluster.kubectl("get", "ht,secret", "--namespace", namespace, "--output=name") == ""
        import_compose("--apply")
        result = import_compose("--apply", "--dry-run", password="canary-2")
        assert [line.split()[1] for line in result.stdout.splitlines()] == ["configured", "unchanged", "unchanged"]

    def test_output_prints_the_applied_manifests(self, import_compose: Import) -> None:
        result = import_compose("--apply", "-o", "yaml")
        assert [manifest["kind"] for manifest in yaml.safe_load_all(result.stdout)] == [
            "Secret",
            "HopperTemplate",
            "HopperTemplate",
        ]

    def test_fields_of_other_field_managers_are_not_changed(
        self, import_compose: Import, cluster: Cluster, namespace: str
    ) -> None:
        import_compose("--apply")
        patch = '{"spec": {"image": "nginx:other"}}'
        cluster.kubectl("patch", "ht", "web", "--namespace", namespace, "--type=merge", f"--patch={patch}")
        result = import_compose("--apply")
        assert result.exit_code == 1
        assert "hoppertemplate.hopper.dev/web 409" in result.stderr
        assert "--force-conflicts" in result.stderr
        # The other objects are applied.
        assert [line.split()[0] for line in result.stdout.splitlines()] == [
            "secret/db-secrets",
            "hoppertemplate.hopper.dev/db",
        ]
        assert import_compose("--apply", "--force-conflicts").exit_code == 0

    def test_a_missing_namespace_is_an_error(self, import_compose: Import, cluster: Cluster) -> None:
        result = import_compose("--apply", "--namespace", "nowhere")
        assert (result.exit_code, result.stdout) == (1, "")
        assert 'namespaces "nowhere" not found' in result.stderr
        with pytest.raises(KubectlError):
            cluster.kubectl("get", "namespace", "nowhere")
