"""The peer: the same lifecycle as a plain kopf operator of a few lines, the way kopf's documentation writes them.

What makes the comparison fair, and where it favours the peer:

- The same objects under another API group, so that neither operator ever sees the other's, and a status of the same
  size.
- kopf's settings are its defaults: it keeps its last-handled state in an annotation, as every plain kopf operator does.
- The handler is `async`, which spares the peer the thread that a plain `def` would run in. It posts no Kubernetes
  Events (kopf's default since 1.45), knows no hierarchy, and keeps no history beyond the last change. Hopper does all
  of that in its time.

`bare_peer.py` is a leaner variant, for orientation.
"""

from typing import Any

import kopf

from tests.bench.peer_status import PEER_GROUP, follow_up


@kopf.on.create(PEER_GROUP, "v1", "hopperinstances")
@kopf.on.update(PEER_GROUP, "v1", "hopperinstances", field="spec.desiredState")
async def follow(spec: kopf.Spec, meta: kopf.Meta, status: kopf.Status, patch: kopf.Patch, **_: Any) -> None:
    """Bring the instance to its desired state."""
    patch.status.update(follow_up(spec, meta, status))
