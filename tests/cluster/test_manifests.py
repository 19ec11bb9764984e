"""What the chart and manifests/ hold is accepted by the API server, and is what an installation gets."""

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
# What of a ServiceMonitor the Prometheus operator knows, as far as the chart uses it.
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
def bare() -> Iterator[LocalCluster]:
    """A cluster that knows nothing of Hopper; its namespaces want pods to be harmless."""
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


def accept(cluster: LocalCluster, objects: list[Manifest]) -> None:
    """Have everything checked that a real write would be checked for. Raises KubectlError."""
    everything = "".join(f"---\n{yaml.safe_dump(it)}" for it in objects)
    options = ("--server-side", "--dry-run=server", "--validate=strict")
    said = cluster.kubectl("apply", *options, "--filename=-", input=everything)
    assert len(said.splitlines()) == len(objects)


def pods(objects: list[Manifest]) -> list[Manifest]:
    """Return the pods among the objects, and those that the Deployments will make."""
    made = [
        {"apiVersion": "v1", "kind": "Pod", **it["spec"]["template"]} for it in objects if it["kind"] == "Deployment"
    ]
    for number, pod in enumerate(made):
        pod["metadata"] = {**pod["metadata"], "name": f"pod-{number}", "namespace": NAMESPACE}
    return made + [it for it in objects if it["kind"] == "Pod"]


@pytest.mark.parametrize("name", VALUES)
class TestChart:
    def test_is_accepted(self, bare: LocalCluster, name: str) -> None:
        """The pods of `helm test` apart: their account has to be there first."""
        accept(bare, [it for it in render(values(name), tests=True) if it["kind"] != "Pod"])

    def test_pods_are_harmless(self, bare: LocalCluster, name: str) -> None:
        """Under Pod Security `restricted` they are admitted, and no user is asked for by number."""
        found = pods(render(values(name), tests=True))
        assert found
        for pod in found:
            # Their accounts are not there, and have nothing to do with it.
            spec = {**pod["spec"], "serviceAccountName": "default"}
            accept(bare, [{**pod, "spec": spec}])
            for settings in (spec["securityContext"], *(it["securityContext"] for it in spec["containers"])):
                assert "runAsUser" not in settings
            assert all(it["securityContext"]["readOnlyRootFilesystem"] for it in spec["containers"])


def test_a_harmful_pod_is_not_admitted(bare: LocalCluster) -> None:
    """So that it says something when ours are."""
    weakened = {"securityContext": {"allowPrivilegeEscalation": True}}
    (pod,) = pods(render({"operator": weakened, "gateway": {"enabled": False}}))
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        accept(bare, [{**pod, "spec": {**pod["spec"], "serviceAccountName": "default"}}])


def build(cluster: LocalCluster, folder: Path) -> list[Manifest]:
    return [it for it in yaml.safe_load_all(cluster.kubectl("kustomize", str(folder))) if it]


def by_name(objects: list[Manifest]) -> dict[tuple[str, str, str], Any]:
    return {(it["kind"], it["metadata"].get("namespace", ""), it["metadata"]["name"]): it for it in objects}


class TestManifests:
    def test_what_kubectl_applies_is_accepted(self, bare: LocalCluster) -> None:
        accept(bare, list(yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text(encoding="utf-8"))))

    @pytest.mark.parametrize("overlay", ["cluster-wide", "namespaced"])
    def test_what_kustomize_builds_is_accepted(self, bare: LocalCluster, overlay: str) -> None:
        accept(bare, build(bare, OVERLAYS / overlay))

    def test_both_ways_install_the_same(self, bare: LocalCluster) -> None:
        installed = list(yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text(encoding="utf-8")))
        built = by_name(build(bare, OVERLAYS / "cluster-wide"))
        wanted = by_name(installed)
        assert built.keys() == wanted.keys()
        for key, it in wanted.items():
            if it["kind"] == "Deployment":  # the order of its arguments is another
                for one in (it, built[key]):
                    one["spec"]["template"]["spec"]["containers"][0]["args"].sort()
            assert built[key] == it

    def test_an_overlay_for_a_namespace_of_ones_own(self, bare: LocalCluster, tmp_path: Path) -> None:
        """The one that docs/how-to/install.md shows: everything moves there, and gets rights there only."""
        (example,) = (
            it for _, it in Page(ROOT / "docs" / "how-to" / "install.md").manifests() if it["kind"] == "Kustomization"
        )
        example["resources"] = [_relative(OVERLAYS / "namespaced", tmp_path)]
        (tmp_path / "kustomization.yaml").write_text(json.dumps(example))
        objects = build(bare, tmp_path)
        accept(bare, objects)
        roles = [it for it in objects if it["kind"] in ("Role", "RoleBinding")]
        assert {it["metadata"]["namespace"] for it in roles} == {"team-a"}
        subjects = [subject for it in objects for subject in it.get("subjects", ())]
        assert {it["namespace"] for it in subjects} == {"team-a"}
        images = {it["spec"]["containers"][0]["image"] for it in pods(objects)}
        assert images == {"registry.example.org/hopper:0.1.0"}
        wide = [it["metadata"]["name"] for it in objects if it["kind"] == "ClusterRoleBinding"]
        assert wide == ["team-a:hopper-gateway-authentication"]
        policies = [it for it in objects if it["kind"] == "ValidatingAdmissionPolicy"]
        users = {name for policy in policies for name in re.findall("system:serviceaccount:[^']+", json.dumps(policy))}
        assert users == {f"system:serviceaccount:team-a:hopper-{part}" for part in ("operator", "gateway")}


def _relative(target: Path, start: Path) -> str:
    """kustomize wants no absolute path."""
    return str(Path(*[".."] * (len(start.resolve().parts) - 1), *target.resolve().parts[1:]))
