"""Generator of the chart's CRDs, `manifests/` and the snapshots: `python -m tests.packaging`, as `make manifests` does.

With `--check`, it only checks whether the CRDs in the chart are up to date. This does not need helm.
"""

from __future__ import annotations

import sys

from tests.packaging.definitions import templates
from tests.packaging.manifests import manifests
from tests.packaging.snapshots import snapshots

if "--check" in sys.argv:
    stale = [path.name for path, text in templates() if not path.exists() or path.read_text(encoding="utf-8") != text]
    sys.exit(f"templates of the chart are out of date: {', '.join(stale)}; run make crds" if stale else 0)

for step in (templates, manifests, snapshots):  # in this order, because the chart renders what the first step writes
    for path, text in step():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
