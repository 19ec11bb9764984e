"""helm from `hopper local build`, isolated from the user's configuration."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hopper.api.resources import Manifest
from hopper.local.binaries import ensure_binaries
from hopper.local.binary_catalogue import TOOL_BINARIES
from hopper.local.cluster_files import cache_dir
from hopper.local.progress import PlainProgress

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "hopper"
RELEASE = "hopper"
NAMESPACE = "hopper-system"


class HelmError(Exception):
    """Error of helm, with its output."""


def helm(*args: str, values: Mapping[str, Any] | None = None, kubeconfig: Path | None = None) -> str:
    """Run helm with `values` and return its standard output. Raises `HelmError`."""
    program = ensure_binaries(cache_dir(), PlainProgress(sys.__stderr__), TOOL_BINARIES)["helm"]
    with tempfile.TemporaryDirectory(prefix="helm-") as home:
        command = [str(program), *args]
        if values is not None:
            file = Path(home) / "values.yaml"
            file.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
            command.append(f"--values={file}")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HELM_", "KUBECONFIG"))}
        isolated = {f"HELM_{kind}_HOME": home for kind in ("CACHE", "CONFIG", "DATA")}
        cluster = {"KUBECONFIG": str(kubeconfig or Path(home) / "none")}
        done = subprocess.run(command, env=inherited | isolated | cluster, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelmError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def render(
    values: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE, tests: bool = False
) -> list[Manifest]:
    """Return the rendered objects of the chart. `tests` includes those of `helm test`."""
    options = [f"--namespace={namespace}", *([] if tests else ["--skip-tests"])]
    text = helm("template", RELEASE, str(CHART), *options, values=values or {})
    return [document for document in yaml.safe_load_all(text) if document]
