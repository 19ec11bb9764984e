"""The chart: lint, validation of values, and consistency of the rendered objects."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.packaging.helm import CHART, NAMESPACE, RELEASE, HelmError, Manifest, helm, render
from tests.packaging.snapshots import VALUES, values

each_values_file = pytest.mark.parametrize("name", VALUES)
_CLUSTER_SCOPED = ("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "ValidatingAdmission")


@functools.cache
def rendered(name: str) -> list[Manifest]:
    return render(values(name))


def workloads(objects: list[Manifest]) -> dict[str, Manifest]:
    """Return the Deployments by component."""
    deployments = (manifest for manifest in objects if manifest["kind"] == "Deployment")
    return {deployment["metadata"]["labels"]["app.kubernetes.io/component"]: deployment for deployment in deployments}


@each_values_file
def test_the_chart_passes_lint(name: str) -> None:
    helm("lint", "--strict", str(CHART), values=values(name))


class TestValues:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"replicas": 2}, "additional properties 'replicas' not allowed"),
            ({"operator": {"replica": 2}}, "at '/operator': additional properties 'replica' not allowed"),
            ({"operator": {"replicas": "2"}}, "at '/operator/replicas': got string, want integer"),
            ({"operator": {"resources": {"cpu": 1}}}, "at '/operator/resources': additional properties 'cpu'"),
            ({"gateway": {"auth": "none"}}, "at '/gateway/auth': value must be one of 'token', 'apikey'"),
            ({"gateway": {"service": {"port": 0}}}, "at '/gateway/service/port': minimum"),
            ({"image": {"digest": "sha256:12"}}, "at '/image/digest': 'sha256:12' does not match pattern"),
            ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy': value must be one of"),
            ({"watchNamespaces": "team-a"}, "at '/watchNamespaces': got string, want array"),
            ({"watchNamespaces": ["a", "a"]}, "at '/watchNamespaces': items at 0 and 1 are equal"),
            ({"watchNamespaces": ["Team"]}, "at '/watchNamespaces/0': 'Team' does not match pattern"),
            ({"logging": {"format": "xml"}}, "at '/logging/format': value must be one of 'text', 'json'"),
            ({"serviceMonitor": {"interval": "often"}}, "at '/serviceMonitor/interval': 'often' does not match"),
            ({"imagePullSecrets": ["x"]}, "at '/imagePullSecrets/0': got string, want object"),
            (
                {"operator": {"replicas": 2, "leaderElection": {"enabled": False}}},
                "operator.replicas: more than one replica needs leader election",
            ),
            (
                {"gateway": {"enabled": True, "ingress": {"enabled": True}}},
                "gateway.ingress.hosts: an Ingress needs a host",
            ),
        ],
        ids=json.dumps,
    )
    def test_invalid_values_are_rejected(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(HelmError, match=re.escape(message)):
            render(given)

    def test_every_value_in_the_schema_has_a_default(self) -> None:
        """The converse follows from rendering, which validates the defaults."""
        schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
        defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
        assert set(_without_default(schema, defaults, schema["definitions"])) == {"global", "enabled"}

    def test_the_chart_works_as_a_subchart(self) -> None:
        assert render({"global": {"imageRegistry": "x"}, "enabled": True}) == render()


def _without_default(schema: Manifest, defaults: Manifest, definitions: Manifest, path: str = "") -> Iterator[str]:
    for name, child in schema["properties"].items():
        child = definitions[child["$ref"].rpartition("/")[2]] if "$ref" in child else child
        if name not in defaults:
            yield f"{path}{name}"
        elif "properties" in child and defaults[name]:  # an empty default stands for all its fields
            yield from _without_default(child, defaults[name], definitions, f"{path}{name}.")


class TestObjects:
    @each_values_file
    def test_selectors_match_the_pods_of_one_component(self, name: str) -> None:
        objects = rendered(name)
        pods = {key: workload["spec"]["template"]["metadata"]["labels"] for key, workload in workloads(objects).items()}
        selectors = {
            "Deployment": lambda manifest: manifest["spec"]["selector"]["matchLabels"],
            "Service": lambda manifest: manifest["spec"]["selector"],
            "PodDisruptionBudget": lambda manifest: manifest["spec"]["selector"]["matchLabels"],
            "NetworkPolicy": lambda manifest: manifest["spec"]["podSelector"]["matchLabels"],
        }
        for manifest in objects:
            if manifest["kind"] in selectors:
                selector = selectors[manifest["kind"]](manifest).items()
                component = manifest["metadata"]["labels"]["app.kubernetes.io/component"]
                assert [key for key, labels in pods.items() if selector <= labels.items()] == [component]

    @each_values_file
    def test_names_are_unique_to_the_release(self, name: str) -> None:
        for manifest in rendered(name):
            metadata = manifest["metadata"]
            assert metadata["labels"]["app.kubernetes.io/instance"] == RELEASE
            assert ("namespace" not in metadata) == manifest["kind"].startswith(_CLUSTER_SCOPED), metadata["name"]
            if manifest["kind"].startswith("ClusterRole"):  # releases in other namespaces may have the same name
                assert metadata["name"].startswith(f"{NAMESPACE}:")

    @each_values_file
    def test_no_permission_has_a_wildcard(self, name: str) -> None:
        rules = [rule for manifest in rendered(name) for rule in manifest.get("rules", ())]
        assert not [rule for rule in rules if "*" in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])]

    def test_watched_namespaces_limit_the_permissions(self) -> None:
        objects = rendered("namespaced")
        assert [manifest for manifest in objects if manifest["kind"].startswith(_CLUSTER_SCOPED)] == []
        roles = [manifest for manifest in objects if manifest["kind"] == "Role"]
        assert {role["metadata"]["namespace"] for role in roles} == set(values("namespaced")["watchNamespaces"])
        for workload in workloads(objects).values():
            (container,) = workload["spec"]["template"]["spec"]["containers"]
            assert {"--namespace=team-a", "--namespace=team-b"} <= set(container["args"])
            assert "--all-namespaces" not in container["args"]

    def test_roles_and_service_accounts_can_be_disabled(self) -> None:
        kinds = {manifest["kind"] for manifest in rendered("bare")}
        assert not kinds & {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount"}
        pods = {key: workload["spec"]["template"]["spec"] for key, workload in workloads(rendered("bare")).items()}
        accounts = {key: pod["serviceAccountName"] for key, pod in pods.items()}
        assert accounts == {"operator": "robot", "gateway": "default"}

    def test_the_operator_is_recreated_without_leader_election(self) -> None:
        assert workloads(rendered("namespaced"))["operator"]["spec"]["strategy"] == {"type": "Recreate"}

    @pytest.mark.parametrize(("keep", "annotations"), [(True, {"helm.sh/resource-policy": "keep"}), (False, None)])
    def test_crds_are_kept_by_default(self, keep: bool, annotations: Manifest | None) -> None:
        objects = render({"crds": {"keep": keep}})
        crds = [manifest for manifest in objects if manifest["kind"] == "CustomResourceDefinition"]
        assert len(crds) == 2
        assert all(crd["metadata"].get("annotations") == annotations for crd in crds)

    @pytest.mark.parametrize(
        ("image", "name"),
        [
            ({}, r"hopper:\d+\.\d+\.\d+"),
            ({"tag": "edge"}, "hopper:edge"),
            ({"registry": "localhost:5000", "tag": "1"}, "localhost:5000/hopper:1"),
            ({"digest": "sha256:" + "a" * 64, "tag": "1"}, "hopper@sha256:a{64}"),
        ],
    )
    def test_the_image_has_registry_tag_or_digest(self, image: Manifest, name: str) -> None:
        (container,) = workloads(render({"image": image}))["operator"]["spec"]["template"]["spec"]["containers"]
        assert re.fullmatch(name, container["image"])

    def test_long_names_are_truncated(self) -> None:
        objects = render({"nameOverride": "x" * 63, "gateway": {"enabled": True}})
        assert all(
            len(manifest["metadata"]["name"]) <= 63
            for manifest in objects
            if manifest["kind"] in ("Deployment", "Service")
        )


def test_the_app_version_is_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == importlib.metadata.version("hopper-operator")
