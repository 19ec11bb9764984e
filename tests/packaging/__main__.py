"""Write all that is generated from crds/ and the chart: `python -m tests.packaging`, as `make manifests` does.

With `--check`, only say whether the definitions in the chart are up to date, which needs no helm.
"""

from __future__ import annotations

import sys

from tests.packaging.definitions import templates
from tests.packaging.manifests import manifests
from tests.packaging.snapshots import snapshots

if "--check" in sys.argv:
    stale = [path.name for path, text in templates() if not path.exists() or path.read_text(encoding="utf-8") != text]
    sys.exit(f"the chart has another {', '.join(stale)} than crds/ and manifests/: run make crds" if stale else 0)

for step in (templates, manifests, snapshots):  # the chart renders what the first step has written
    for path, text in step():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
