"""The chart and manifests/: accepted by the API server, and all ways to install give the same objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hopper.local import LocalCluster
from hopper.local.errors import KubectlError
from tests.cluster.conftest import cluster_name, start_or_skip
from tests.packaging.helm import NAMESPACE, ROOT, Manifest, render
from tests.packaging.snapshots import VALUES, values
from tests.pages import Page

OVERLAYS = ROOT / "manifests" / "overlays"
# The fields of a ServiceMonitor that the chart uses, in place of the CRD of the Prometheus operator.
SERVICE_MONITORS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: servicemonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: ServiceMonitor, listKind: ServiceMonitorList, plural: servicemonitors, singular: servicemonitor}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [selector, endpoints]
              properties:
                selector:
                  type: object
                  properties: {matchLabels: {type: object, additionalProperties: &text {type: string}}}
                namespaceSelector: {type: object, properties: {matchNames: {type: array, items: *text}}}
                endpoints:
                  type: array
                  items:
                    type: object
                    properties:
                      port: *text
                      path: *text
                      interval: *text
                      scrapeTimeout: *text
                      relabelings: &free
                        type: array
                        items: {type: object, x-kubernetes-preserve-unknown-fields: true}
                      metricRelabelings: *free
"""


@pytest.fixture(scope="module")
def empty_cluster() -> Iterator[LocalCluster]:
    """Cluster without the CRDs of Hopper, whose namespaces enforce Pod Security `restricted`."""
    own = LocalCluster(cluster_name("manifests"), nodes=0)
    start_or_skip(own)
    try:
        own.kubectl("create", "--filename=-", input=SERVICE_MONITORS)
        for name in (NAMESPACE, "team-a", "team-b", "monitoring"):
            own.kubectl("create", "namespace", name)
            own.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        yield own
    finally:
        own.down()


def assert_accepted(cluster: LocalCluster, objects: list[Manifest]) -> None:
    """Check that the API server accepts all objects in a dry run. Raises KubectlError if it rejects any."""
    documents = "".join(f"---\n{yaml.safe_dump(manifest)}" for manifest in objects)
    options = ("--server-side", "--dry-run=server", "--validate=strict")
    output = cluster.kubectl("apply", *options, "--filename=-", input=documents)
    assert len(output.splitlines()) == len(objects)


def pod_manifests(objects: list[Manifest]) -> list[Manifest]:
    """Return the pods among the objects, and one pod for each Deployment."""
    deployed = [
        {"apiVersion": "v1", "kind": "Pod", **manifest["spec"]["template"]}
        for manifest in objects
        if manifest["kind"] == "Deployment"
    ]
    for number, pod in enumerate(deployed):
        pod["metadata"] = {**pod["metadata"], "name": f"pod-{number}", "namespace": NAMESPACE}
    return deployed + [manifest for manifest in objects if manifest["kind"] == "Pod"]


@pytest.mark.parametrize("name", VALUES)
class TestChart:
    def test_the_api_server_accepts_the_chart(self, empty_cluster: LocalCluster, name: str) -> None:
        """The pods of `helm test` are left out, because their service account must exist first."""
        assert_accepted(
            empty_cluster, [manifest for manifest in render(values(name), tests=True) if manifest["kind"] != "Pod"]
        )

    def test_pod_security_restricted_admits_the_pods(self, empty_cluster: LocalCluster, name: str) -> None:
        """The pods do not set runAsUser, because OpenShift assigns the user itself."""
        pods = pod_manifests(render(values(name), tests=True))
        assert pods
        for pod in pods:
            # The service accounts of the chart do not exist here.
            spec = {**pod["spec"], "serviceAccountName": "default"}
            assert_accepted(empty_cluster, [{**pod, "spec": spec}])
            container_contexts = [container["securityContext"] for container in spec["containers"]]
            assert not any("runAsUser" in context for context in (spec["securityContext"], *container_contexts))
            assert all(context["readOnlyRootFilesystem"] for context in container_contexts)


def test_pod_security_rejects_a_pod_with_weakened_settings(empty_cluster: LocalCluster) -> None:
    """This shows that Pod Security is enforced, so that admitting the pods of the chart means something."""
    weakened = {"securityContext": {"allowPrivilegeEscalation": True}}
    (pod,) = pod_manifests(render({"operator": weakened, "gateway": {"enabled": False}}))
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        assert_accepted(empty_cluster, [{**pod, "spec": {**pod["spec"], "serviceAccountName": "default"}}])


def kustomize(cluster: LocalCluster, folder: Path) -> list[Manifest]:
    documents = yaml.safe_load_all(cluster.kubectl("kustomize", str(folder)))
    return [document for document in documents if document]


def by_kind_and_name(objects: list[Manifest]) -> dict[tuple[str, str, str], Any]:
    return {
        (manifest["kind"], manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]): manifest
        for manifest in objects
    }


class TestManifests:
    def test_the_api_server_accepts_install_yaml(self, empty_cluster: LocalCluster) -> None:
        assert_accepted(
            empty_cluster, list(yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text(encoding="utf-8")))
        )

    @pytest.mark.parametrize("overlay", ["cluster-wide", "namespaced"])
    def test_the_api_server_accepts_the_overlays(self, empty_cluster: LocalCluster, overlay: str) -> None:
        assert_accepted(empty_cluster, kustomize(empty_cluster, OVERLAYS / overlay))

    def test_install_yaml_equals_the_cluster_wide_overlay(self, empty_cluster: LocalCluster) -> None:
        installed = list(yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text(encoding="utf-8")))
        built = by_kind_and_name(kustomize(empty_cluster, OVERLAYS / "cluster-wide"))
        expected = by_kind_and_name(installed)
        assert built.keys() == expected.keys()
        for key, manifest in expected.items():
            if manifest["kind"] == "Deployment":  # the arguments have another order
                for deployment in (manifest, built[key]):
                    deployment["spec"]["template"]["spec"]["containers"][0]["args"].sort()
            assert built[key] == manifest

    def test_the_documented_overlay_moves_everything_to_another_namespace(
        self, empty_cluster: LocalCluster, tmp_path: Path
    ) -> None:
        """The overlay of docs/how-to/install.md grants rights in that namespace only."""
        documents = (document for _, document in Page(ROOT / "docs" / "how-to" / "install.md").manifests())
        (example,) = (document for document in documents if document["kind"] == "Kustomization")
        example["resources"] = [_relative(OVERLAYS / "namespaced", tmp_path)]
        (tmp_path / "kustomization.yaml").write_text(json.dumps(example))
        objects = kustomize(empty_cluster, tmp_path)
        assert_accepted(empty_cluster, objects)
        roles = [manifest for manifest in objects if manifest["kind"] in ("Role", "RoleBinding")]
        assert {role["metadata"]["namespace"] for role in roles} == {"team-a"}
        subjects = [subject for manifest in objects for subject in manifest.get("subjects", ())]
        assert {subject["namespace"] for subject in subjects} == {"team-a"}
        images = {pod["spec"]["containers"][0]["image"] for pod in pod_manifests(objects)}
        assert images == {"registry.example.org/hopper:0.1.0"}
        bindings = [manifest["metadata"]["name"] for manifest in objects if manifest["kind"] == "ClusterRoleBinding"]
        assert bindings == ["team-a:hopper-gateway-authentication"]
        policies = [manifest for manifest in objects if manifest["kind"] == "ValidatingAdmissionPolicy"]
        users = {name for policy in policies for name in re.findall("system:serviceaccount:[^']+", json.dumps(policy))}
        assert users == {f"system:serviceaccount:team-a:hopper-{part}" for part in ("operator", "gateway")}


def _relative(target: Path, start: Path) -> str:
    """Return a relative path, because kustomize accepts no absolute ones."""
    return str(Path(*[".."] * (len(start.resolve().parts) - 1), *target.resolve().parts[1:]))
