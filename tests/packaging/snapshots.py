"""Snapshots of the rendered chart in `snapshots/`, one for each file in `values/`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from hopper.cli.manifest_yaml import yaml_documents
from tests.packaging.helm import render

_HERE = Path(__file__).parent
VALUES = {path.stem: path for path in sorted((_HERE / "values").glob("*.yaml"))}
_SHARED = ("CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def values(name: str) -> dict[str, Any]:
    """Return the values in a file."""
    loaded: dict[str, Any] = yaml.safe_load(VALUES[name].read_text(encoding="utf-8"))
    return loaded


def snapshots() -> Iterator[tuple[Path, str]]:
    """Yield the path and text of each snapshot, without the objects that `crds/` and `manifests/` have."""
    for name in VALUES:
        rendered = [manifest for manifest in render(values(name)) if manifest["kind"] not in _SHARED]
        yield _HERE / "snapshots" / f"{name}.yaml", "# By `make manifests`.\n" + "".join(yaml_documents(rendered))
