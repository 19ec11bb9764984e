"""The chart: linted, strict about its values, and what it renders fits together."""

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

every_set = pytest.mark.parametrize("name", VALUES)
_CLUSTER_SCOPED = ("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "ValidatingAdmission")


@functools.cache
def rendered(name: str) -> list[Manifest]:
    return render(values(name))


def workloads(objects: list[Manifest]) -> dict[str, Manifest]:
    """Return the Deployments by component."""
    found = (it for it in objects if it["kind"] == "Deployment")
    return {it["metadata"]["labels"]["app.kubernetes.io/component"]: it for it in found}


@every_set
def test_lint(name: str) -> None:
    helm("lint", "--strict", str(CHART), values=values(name))


class TestValues:
    @pytest.mark.parametrize(
        ("given", "said"),
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
    def test_nonsense_is_refused(self, given: dict[str, Any], said: str) -> None:
        with pytest.raises(HelmError, match=re.escape(said)):
            render(given)

    def test_every_value_that_the_schema_knows_has_a_default(self) -> None:
        """And the other way round: it knows the defaults, or nothing could be rendered."""
        schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
        defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
        assert set(_without_default(schema, defaults, schema["definitions"])) == {"global", "enabled"}

    def test_as_a_part_of_another_chart(self) -> None:
        assert render({"global": {"imageRegistry": "x"}, "enabled": True}) == render()


def _without_default(schema: Manifest, defaults: Manifest, definitions: Manifest, path: str = "") -> Iterator[str]:
    for name, child in schema["properties"].items():
        child = definitions[child["$ref"].rpartition("/")[2]] if "$ref" in child else child
        if name not in defaults:
            yield f"{path}{name}"
        elif "properties" in child and defaults[name]:  # what is empty by default stands for all its fields
            yield from _without_default(child, defaults[name], definitions, f"{path}{name}.")


class TestObjects:
    @every_set
    def test_selectors_find_the_pods(self, name: str) -> None:
        objects = rendered(name)
        pods = {key: it["spec"]["template"]["metadata"]["labels"] for key, it in workloads(objects).items()}
        selectors = {
            "Deployment": lambda it: it["spec"]["selector"]["matchLabels"],
            "Service": lambda it: it["spec"]["selector"],
            "PodDisruptionBudget": lambda it: it["spec"]["selector"]["matchLabels"],
            "NetworkPolicy": lambda it: it["spec"]["podSelector"]["matchLabels"],
        }
        for it in objects:
            if it["kind"] in selectors:
                wanted = selectors[it["kind"]](it).items()
                component = it["metadata"]["labels"]["app.kubernetes.io/component"]
                assert [key for key, labels in pods.items() if wanted <= labels.items()] == [component]

    @every_set
    def test_names_are_those_of_one_release(self, name: str) -> None:
        for it in rendered(name):
            metadata = it["metadata"]
            assert metadata["labels"]["app.kubernetes.io/instance"] == RELEASE
            assert ("namespace" not in metadata) == it["kind"].startswith(_CLUSTER_SCOPED), metadata["name"]
            if it["kind"].startswith("ClusterRole"):  # another release may have the same name, in another namespace
                assert metadata["name"].startswith(f"{NAMESPACE}:")

    @every_set
    def test_no_right_is_a_wildcard(self, name: str) -> None:
        rules = [rule for it in rendered(name) for rule in it.get("rules", ())]
        assert not [rule for rule in rules if "*" in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])]

    def test_named_namespaces_get_rights_there_only(self) -> None:
        objects = rendered("namespaced")
        assert [it["metadata"]["name"] for it in objects if it["kind"].startswith(_CLUSTER_SCOPED)] == []
        roles = [it for it in objects if it["kind"] == "Role"]
        assert {it["metadata"]["namespace"] for it in roles} == set(values("namespaced")["watchNamespaces"])
        for it in workloads(objects).values():
            (container,) = it["spec"]["template"]["spec"]["containers"]
            assert {"--namespace=team-a", "--namespace=team-b"} <= set(container["args"])
            assert "--all-namespaces" not in container["args"]

    def test_nothing_but_what_is_wanted(self) -> None:
        kinds = {it["kind"] for it in rendered("bare")}
        assert not kinds & {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount"}
        pods = {key: it["spec"]["template"]["spec"] for key, it in workloads(rendered("bare")).items()}
        accounts = {key: pod["serviceAccountName"] for key, pod in pods.items()}
        assert accounts == {"operator": "robot", "gateway": "default"}

    def test_without_an_election_there_are_never_two_operators(self) -> None:
        assert workloads(rendered("namespaced"))["operator"]["spec"]["strategy"] == {"type": "Recreate"}

    @pytest.mark.parametrize(("keep", "annotations"), [(True, {"helm.sh/resource-policy": "keep"}), (False, None)])
    def test_definitions_are_kept(self, keep: bool, annotations: Manifest | None) -> None:
        definitions = [it for it in render({"crds": {"keep": keep}}) if it["kind"] == "CustomResourceDefinition"]
        assert len(definitions) == 2
        assert all(it["metadata"].get("annotations") == annotations for it in definitions)

    @pytest.mark.parametrize(
        ("image", "name"),
        [
            ({}, r"hopper:\d+\.\d+\.\d+"),
            ({"tag": "edge"}, "hopper:edge"),
            ({"registry": "localhost:5000", "tag": "1"}, "localhost:5000/hopper:1"),
            ({"digest": "sha256:" + "a" * 64, "tag": "1"}, "hopper@sha256:a{64}"),
        ],
    )
    def test_image(self, image: Manifest, name: str) -> None:
        (container,) = workloads(render({"image": image}))["operator"]["spec"]["template"]["spec"]["containers"]
        assert re.fullmatch(name, container["image"])

    def test_long_names(self) -> None:
        objects = render({"nameOverride": "x" * 63, "gateway": {"enabled": True}})
        assert all(len(it["metadata"]["name"]) <= 63 for it in objects if it["kind"] in ("Deployment", "Service"))


def test_the_version_is_that_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == importlib.metadata.version("hopper-operator")
