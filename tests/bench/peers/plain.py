"""Plain kopf operator with the same lifecycle as Hopper, written the way kopf's documentation does it.

What makes the comparison fair, and where it favours the peer:

- It serves the same objects under another API group, so neither operator sees the other's objects. Its status is
  about as large as Hopper's.
- kopf runs with default settings: it stores its last-handled state in an annotation, as every plain kopf operator does.
- The handler is `async`, so kopf needs no thread for it.
- It sends no Kubernetes Events (kopf's default since 1.45), has no hierarchy, and its history holds only the last
  change. Hopper does all of this in the measured time.

`bare.py` is a leaner peer, for orientation.
"""

from typing import Any

import kopf

from tests.bench.peers.status import PEER_GROUP, settled_status


@kopf.on.create(PEER_GROUP, "v1", "hopperinstances")
@kopf.on.update(PEER_GROUP, "v1", "hopperinstances", field="spec.desiredState")
async def settle(spec: kopf.Spec, meta: kopf.Meta, status: kopf.Status, patch: kopf.Patch, **_: Any) -> None:
    """Set the status to the desired state."""
    patch.status.update(settled_status(spec, meta, status))
