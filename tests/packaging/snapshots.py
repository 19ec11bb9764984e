"""What the chart renders for each of a few sets of values, kept for comparison in `snapshots/`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from hopper.cli.yaml_output import documents
from tests.packaging.helm import render

_HERE = Path(__file__).parent
VALUES = {path.stem: path for path in sorted((_HERE / "values").glob("*.yaml"))}
_SHARED = ("CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def values(name: str) -> dict[str, Any]:
    """Return one of the sets of values."""
    found: dict[str, Any] = yaml.safe_load(VALUES[name].read_text(encoding="utf-8"))
    return found


def snapshots() -> Iterator[tuple[Path, str]]:
    """Yield path and text of each snapshot; what is the same as in crds/ and manifests/ is left out."""
    for name in VALUES:
        rendered = [it for it in render(values(name)) if it["kind"] not in _SHARED]
        yield _HERE / "snapshots" / f"{name}.yaml", "# By `make manifests`.\n" + "".join(documents(rendered))
