"""Status that all peers write, about as large as Hopper's."""

from datetime import UTC, datetime
from typing import Any

import kopf

PEER_GROUP = "peer.hopper.dev"


def settled_status(spec: kopf.Spec, meta: kopf.Meta, status: kopf.Status) -> dict[str, Any]:
    """Return the status of an instance that has reached its desired state.

    Instances without a template reach it at once.
    """
    desired = spec.get("desiredState", "Running")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    passing = "Starting" if desired == "Running" else "Stopping"
    previous = status.get("phase", "Created")
    return {
        "phase": desired,
        "effectiveState": desired,
        "observedGeneration": meta["generation"],
        "startedAt": now,
        "lastTransitionTime": now,
        "path": meta["name"],
        "depth": 0,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": desired,
                "message": "",
                "lastTransitionTime": now,
                "observedGeneration": meta["generation"],
            }
        ],
        "history": [
            {"from": previous, "to": passing, "time": now, "reason": "DesiredState", "message": ""},
            {"from": passing, "to": desired, "time": now, "reason": "DesiredState", "message": ""},
        ],
    }
