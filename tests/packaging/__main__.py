"""Write all that is generated from crds/ and the chart: `python -m tests.packaging`, as `make manifests` does."""

from __future__ import annotations

from tests.packaging.definitions import templates
from tests.packaging.manifests import manifests
from tests.packaging.snapshots import snapshots

for step in (templates, manifests, snapshots):  # the chart renders what the first step has written
    for path, text in step():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
