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
            (
                {"gateway": {"tls": {"certificate": {"enabled": True}}}},
                "gateway.tls.certificate.issuerRef.name: a Certificate needs an issuer",
            ),
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


class TestNetworkPolicies:
    """The pods serve one port, and reach nothing but DNS and the API server."""

    @pytest.mark.parametrize("name", ["default", "namespaced", "bare"])
    def test_each_component_has_one_by_default(self, name: str) -> None:
        policies = network_policies(rendered(name))
        assert policies.keys() == {"operator", "gateway"}
        assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies.values())

    def test_there_is_none_for_a_component_that_is_not_installed(self) -> None:
        assert network_policies(rendered("operator-only")).keys() == {"operator"}

    def test_they_can_be_switched_off(self) -> None:
        assert network_policies(render({"networkPolicy": {"enabled": False}})) == {}

    def test_everyone_reaches_the_served_port_and_no_other(self) -> None:
        for policy in network_policies(rendered("default")).values():
            assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]

    @pytest.mark.parametrize(
        ("port", "protocol"),
        [(53, "UDP"), (53, "TCP"), (5353, "UDP"), (443, "TCP"), (6443, "TCP"), (8443, "TCP"), (16443, "TCP")],
    )
    def test_dns_and_the_api_server_are_reached_at_any_address(self, port: int, protocol: str) -> None:
        """A peer would exclude node addresses with some network plugins, and the API server listens on one."""
        for policy in network_policies(rendered("default")).values():
            rules = [rule for rule in policy["egress"] if {"port": port, "protocol": protocol} in rule["ports"]]
            assert [rule.keys() for rule in rules] == [{"ports"}]

    @pytest.mark.parametrize("port", [22, 25, 80, 2379, 5432, 8080, 10250])
    def test_nothing_else_is_reached(self, port: int) -> None:
        for policy in network_policies(rendered("default")).values():
            assert all(rule.get("ports") for rule in policy["egress"]), "a rule without ports allows all ports"
            assert port not in [allowed["port"] for rule in policy["egress"] for allowed in rule["ports"]]

    def test_peers_narrow_ingress(self) -> None:
        peers = {"metricsFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}], "gatewayFrom": []}
        policies = network_policies(render({"networkPolicy": peers, "tests": {"enabled": False}}))
        assert policies["operator"]["ingress"][0]["from"] == peers["metricsFrom"]
        assert "from" not in policies["gateway"]["ingress"][0]

    def test_given_egress_rules_replace_the_default(self) -> None:
        rules = [{"to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}], "ports": [{"port": 6443, "protocol": "TCP"}]}]
        for policy in network_policies(render({"networkPolicy": {"egress": rules}})).values():
            assert policy["egress"] == rules

    def test_no_egress_rules_leave_egress_open(self) -> None:
        for policy in network_policies(render({"networkPolicy": {"egress": []}})).values():
            assert policy["policyTypes"] == ["Ingress"]
            assert "egress" not in policy

    def test_the_pod_of_helm_test_reaches_narrowed_components(self) -> None:
        peers = [{"podSelector": {"matchLabels": {"app": "portal"}}}]
        objects = render({"networkPolicy": {"metricsFrom": peers, "gatewayFrom": peers}}, tests=True)
        (pod,) = (manifest for manifest in objects if manifest["kind"] == "Pod")
        for policy in network_policies(objects).values():
            selectors = [peer["podSelector"]["matchLabels"].items() for peer in policy["ingress"][0]["from"]]
            assert any(selector <= pod["metadata"]["labels"].items() for selector in selectors)


def network_policies(objects: list[Manifest]) -> dict[str, Manifest]:
    """Return the specs of the NetworkPolicies by component."""
    policies = (manifest for manifest in objects if manifest["kind"] == "NetworkPolicy")
    return {policy["metadata"]["labels"]["app.kubernetes.io/component"]: policy["spec"] for policy in policies}


def test_the_app_version_is_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == importlib.metadata.version("hopper-operator")


class TestGatewayTls:
    """Probes, Service, metrics and `helm test` use HTTPS if the gateway has a certificate."""

    @pytest.mark.parametrize(
        ("tls", "secret"),
        [
            ({"secretName": "web-tls"}, "web-tls"),
            ({"certificate": {"enabled": True, "issuerRef": {"name": "ca"}}}, "hopper-gateway-tls"),
            ({"secretName": "mine", "certificate": {"enabled": True, "issuerRef": {"name": "ca"}}}, "mine"),
        ],
    )
    def test_everything_uses_https(self, tls: dict[str, Any], secret: str) -> None:
        objects = render({"gateway": {"tls": tls}, "serviceMonitor": {"enabled": True}}, tests=True)
        by_kind = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in objects}
        pod = by_kind["Deployment", "hopper-gateway"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert {"--tls-cert=/etc/hopper/tls/tls.crt", "--tls-key=/etc/hopper/tls/tls.key"} <= set(container["args"])
        assert {"name": "tls", "secret": {"secretName": secret, "defaultMode": 0o444}} in pod["volumes"]
        probes = [container[f"{kind}Probe"]["httpGet"]["scheme"] for kind in ("startup", "liveness", "readiness")]
        assert probes == ["HTTPS"] * 3
        assert [port["port"] for port in by_kind["Service", "hopper-gateway"]["spec"]["ports"]] == [443]
        (endpoint,) = by_kind["ServiceMonitor", "hopper-gateway"]["spec"]["endpoints"]
        assert (endpoint["scheme"], endpoint["tlsConfig"]["ca"]["secret"]["name"]) == ("https", secret)
        environment = by_kind["Pod", "hopper-test"]["spec"]["containers"][0]["env"]
        assert (
            "https://hopper-gateway:443/readyz" in next(var for var in environment if var["name"] == "HEALTH")["value"]
        )
        operator = by_kind["Deployment", "hopper-operator"]["spec"]["template"]["spec"]["containers"][0]
        assert "scheme" not in operator["livenessProbe"]["httpGet"]
        if "certificate" in tls:
            certificate = by_kind["Certificate", "hopper-gateway"]["spec"]
            assert certificate["secretName"] == secret
            assert "hopper-gateway.hopper-system.svc" in certificate["dnsNames"]

    def test_other_ports_stay(self) -> None:
        objects = render({"gateway": {"tls": {"secretName": "web-tls"}, "service": {"port": 8443}}})
        service = next(o for o in objects if o["kind"] == "Service" and o["metadata"]["name"] == "hopper-gateway")
        assert service["spec"]["ports"][0]["port"] == 8443

    def test_audiences_and_hosts_are_passed_on(self) -> None:
        objects = render({"gateway": {"tokenAudiences": ["hopper"], "allowedHosts": ["hopper.example.org"]}})
        arguments = workloads(objects)["gateway"]["spec"]["template"]["spec"]["containers"][0]["args"]
        assert {"--token-audience=hopper", "--allowed-host=hopper.example.org"} <= set(arguments)
