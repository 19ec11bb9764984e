"""`manifests/`: what those install who do not use helm, rendered from the chart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from hopper.cli.yaml_output import documents
from tests.packaging.helm import NAMESPACE, ROOT, Manifest, render

_HEADER = "# Rendered from charts/hopper by `make manifests`. Do not edit.\n"
_HELMS = ("app.kubernetes.io/managed-by", "helm.sh/chart")
# Pods of this namespace have to be as harmless as ours are.
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
    """Yield path and text of each rendered file."""
    folder = ROOT / "manifests"
    everything = _plain(render({"crds": {"keep": False}}))
    namespaced = _plain(render({"crds": {"keep": False}, "watchNamespaces": [NAMESPACE]}))
    yield folder / "install.yaml", _file([_NAMESPACE, *everything])
    base, wide = _split(everything)
    for name, objects in base.items():
        yield folder / "base" / f"{name}.yaml", _file(objects)
    yield folder / "overlays" / "cluster-wide" / "rights.yaml", _file(wide)
    yield folder / "overlays" / "namespaced" / "rights.yaml", _file(_only_in(namespaced, everything))


def _file(objects: Iterable[Manifest]) -> str:
    return _HEADER + "".join(documents(objects))


def _plain(objects: Sequence[Manifest]) -> list[Manifest]:
    """The objects without what speaks of helm."""
    for labels in _labels(objects):
        for label in _HELMS:
            labels.pop(label, None)
    return list(objects)


def _labels(node: object) -> Iterator[dict[str, str]]:
    """Find every metadata.labels."""
    if isinstance(node, dict):
        found = node.get("metadata")
        if isinstance(found, dict) and "labels" in found:
            yield found["labels"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _labels(child)


def _split(everything: Sequence[Manifest]) -> tuple[dict[str, list[Manifest]], list[Manifest]]:
    """What the base has, by file, and what only the overlay for the whole cluster adds."""
    wide = [it for it in everything if _is_wide(it)]
    rest = [_own_namespace_only(it) for it in everything if it not in wide]
    files: dict[str, Callable[[Manifest], bool]] = {
        "crds": lambda it: it["kind"] == "CustomResourceDefinition",
        "deletion-protection": lambda it: it["kind"].startswith("ValidatingAdmissionPolicy"),
        "operator": lambda it: _component(it) == "operator",
        "gateway": lambda it: _component(it) == "gateway",
        "roles": lambda it: True,
    }
    base = {"namespace": [_NAMESPACE]} | {name: [] for name in files}
    for it in rest:
        base[next(name for name, belongs in files.items() if belongs(it))].append(it)
    return {name: objects for name, objects in base.items() if objects}, wide


def _is_wide(it: Manifest) -> bool:
    """Tell the rights in every namespace from those that nobody can have in one only."""
    named = it["kind"] in ("ClusterRole", "ClusterRoleBinding") and _component(it)
    return bool(named) and not it["metadata"]["name"].endswith("-authentication")


def _component(it: Manifest) -> str:
    component: str = it["metadata"]["labels"].get("app.kubernetes.io/component", "")
    return component


def _own_namespace_only(it: Manifest) -> Manifest:
    """The object; a Deployment without the argument that has it serve all namespaces."""
    if it["kind"] != "Deployment":
        return it
    it = copy.deepcopy(it)
    (container,) = it["spec"]["template"]["spec"]["containers"]
    container["args"].remove(_ALL_NAMESPACES)
    return it


def _only_in(objects: Sequence[Manifest], others: Sequence[Manifest]) -> list[Manifest]:
    """Those roles and bindings that the others lack."""
    return [it for it in objects if it["kind"] in ("Role", "RoleBinding") and it not in others]
