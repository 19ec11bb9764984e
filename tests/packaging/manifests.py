"""`manifests/` for installations without helm, rendered from the chart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from hopper.cli.manifest_yaml import yaml_documents
from tests.packaging.helm import NAMESPACE, ROOT, Manifest, render

_HEADER = "# Rendered from charts/hopper by `make manifests`. Do not edit.\n"
_HELM_LABELS = ("app.kubernetes.io/managed-by", "helm.sh/chart")
_NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": NAMESPACE,
        "labels": {
            "app.kubernetes.io/name": "hopper",
            "app.kubernetes.io/part-of": "hopper",
            "pod-security.kubernetes.io/enforce": "restricted",
        },
    },
}
_ALL_NAMESPACES = "--all-namespaces"


def manifests() -> Iterator[tuple[Path, str]]:
    """Yield the path and text of each file."""
    folder = ROOT / "manifests"
    everything = _without_helm_labels(render({"crds": {"keep": False}}))
    namespaced = _without_helm_labels(render({"crds": {"keep": False}, "watchNamespaces": [NAMESPACE]}))
    yield folder / "install.yaml", _file([_NAMESPACE, *everything])
    base, cluster_wide = _split(everything)
    for name, objects in base.items():
        yield folder / "base" / f"{name}.yaml", _file(objects)
    yield folder / "overlays" / "cluster-wide" / "rights.yaml", _file(cluster_wide)
    yield folder / "overlays" / "namespaced" / "rights.yaml", _file(_additional_roles(namespaced, everything))


def _file(objects: Iterable[Manifest]) -> str:
    return _HEADER + "".join(yaml_documents(objects))


def _without_helm_labels(objects: Sequence[Manifest]) -> list[Manifest]:
    for labels in _all_labels(objects):
        for label in _HELM_LABELS:
            labels.pop(label, None)
    return list(objects)


def _all_labels(node: object) -> Iterator[dict[str, str]]:
    """Yield every `metadata.labels`, including those of pod templates."""
    if isinstance(node, dict):
        metadata = node.get("metadata")
        if isinstance(metadata, dict) and "labels" in metadata:
            yield metadata["labels"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _all_labels(child)


def _split(everything: Sequence[Manifest]) -> tuple[dict[str, list[Manifest]], list[Manifest]]:
    """Return the objects of the base by file, and those that only the cluster-wide overlay has."""
    cluster_wide = [manifest for manifest in everything if _is_cluster_wide_permission(manifest)]
    rest = [_for_own_namespace(manifest) for manifest in everything if manifest not in cluster_wide]
    files: dict[str, Callable[[Manifest], bool]] = {
        "crds": lambda manifest: manifest["kind"] == "CustomResourceDefinition",
        "deletion-protection": lambda manifest: manifest["metadata"]["name"] == "deletion-protection.hopper.dev",
        "admission": lambda manifest: manifest["kind"].startswith("ValidatingAdmissionPolicy"),
        "operator": lambda manifest: _component(manifest) == "operator",
        "gateway": lambda manifest: _component(manifest) == "gateway",
        "roles": lambda manifest: True,
    }
    base = {"namespace": [_NAMESPACE]} | {name: [] for name in files}
    for manifest in rest:
        base[next(name for name, belongs in files.items() if belongs(manifest))].append(manifest)
    return {name: objects for name, objects in base.items() if objects}, cluster_wide


def _is_cluster_wide_permission(manifest: Manifest) -> bool:
    """Whether an object grants permissions in every namespace. The gateway's reviews exist only cluster-wide."""
    is_component_role = manifest["kind"] in ("ClusterRole", "ClusterRoleBinding") and _component(manifest)
    return bool(is_component_role) and not manifest["metadata"]["name"].endswith("-authentication")


def _component(manifest: Manifest) -> str:
    component: str = manifest["metadata"]["labels"].get("app.kubernetes.io/component", "")
    return component


def _for_own_namespace(manifest: Manifest) -> Manifest:
    """Return the object for the base, where a Deployment serves only its own namespace."""
    if manifest["kind"] != "Deployment":
        return manifest
    deployment = copy.deepcopy(manifest)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["args"].remove(_ALL_NAMESPACES)
    return deployment


def _additional_roles(objects: Sequence[Manifest], others: Sequence[Manifest]) -> list[Manifest]:
    """Return the roles and bindings that only the first objects have."""
    return [manifest for manifest in objects if manifest["kind"] in ("Role", "RoleBinding") and manifest not in others]
