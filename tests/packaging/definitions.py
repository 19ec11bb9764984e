"""Templates of the chart that are generated from `crds/` and `manifests/`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.packaging.helm import CHART, ROOT

_METADATA = re.compile(r"^metadata:\n  name: (?P<name>\S+)\n", re.MULTILINE)
_TEMPLATE = """\
{{/* Generated from SOURCE by `make manifests`. Do not edit. */ -}}
{{- if CONDITION }}
BODY{{- end }}
"""
_METADATA_TEMPLATE = """\
metadata:
  {{- include "HELPER" (dict "root" . "name" "NAME") | nindent 2 }}
"""


def templates() -> Iterator[tuple[Path, str]]:
    """Yield the path and text of each generated template."""
    for source in sorted((ROOT / "crds").glob("*.yaml")):
        path = CHART / "templates" / "crds" / source.name
        yield path, _template(source, ".Values.crds.install", "hopper.crdMetadata")
    source = ROOT / "manifests" / "deletion-protection.yaml"
    path = CHART / "templates" / source.name
    yield path, _template(source, ".Values.deletionProtection.enabled", "hopper.metadata")


def _template(source: Path, condition: str, helper: str) -> str:
    """Return the file with a condition, and with the labels and annotations of the release."""
    text = source.read_text(encoding="utf-8").replace("{{", '{{ "{{" }}')
    body = _METADATA.sub(
        lambda match: _METADATA_TEMPLATE.replace("HELPER", helper).replace("NAME", match["name"]), text
    )
    template = _TEMPLATE.replace("SOURCE", source.relative_to(ROOT).as_posix())
    return template.replace("CONDITION", condition).replace("BODY", body)
