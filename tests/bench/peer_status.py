"""What both peers write: a status of about the size of Hopper's."""

from datetime import UTC, datetime
from typing import Any

import kopf

PEER_GROUP = "peer.hopper.dev"


def follow_up(spec: kopf.Spec, meta: kopf.Meta, status: kopf.Status) -> dict[str, Any]:
    """Return the status that follows from the spec: a logical instance is there at once."""
    wanted = spec.get("desiredState", "Running")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    between = "Starting" if wanted == "Running" else "Stopping"
    before = status.get("phase", "Created")
    return {
        "phase": wanted,
        "effectiveState": wanted,
        "observedGeneration": meta["generation"],
        "startedAt": now,
        "lastTransitionTime": now,
        "path": meta["name"],
        "depth": 0,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": wanted,
                "message": "",
                "lastTransitionTime": now,
                "observedGeneration": meta["generation"],
            }
        ],
        "history": [
            {"from": before, "to": between, "time": now, "reason": "DesiredState", "message": ""},
            {"from": between, "to": wanted, "time": now, "reason": "DesiredState", "message": ""},
        ],
    }
