"""What holds for every version of every instance that a test has seen, whatever the test was about."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase
from hopper.api.instance import HISTORY_LIMIT
from hopper.domain.lifecycle import TARGET_PHASE, TRANSITIONS
from tests.cluster.support.watch_recorder import Object, WatchRecorder

ONLY_WHILE_TRUE = {ConditionType.RECONCILING, ConditionType.STALLED}


def violations(follow: WatchRecorder) -> list[str]:
    """Return what is wrong with any of the versions in the log."""
    before: dict[str, Object] = {}
    found: dict[str, None] = {}
    for seen in follow.log:
        version = seen.object
        if status := version.get("status"):
            problems = [*_history(status), *_conditions(version, status), *_owners(version)]
            uid = version["metadata"]["uid"]
            problems += _continuity(before.get(uid, {}), status)
            before[uid] = status
            found |= {f"{seen.name} at {version['metadata']['resourceVersion']}: {it}": None for it in problems}
    return list(found)


def _history(status: Object) -> Iterator[str]:
    history = status.get("history", [])
    phase = status["phase"]
    if history and history[-1]["to"] != phase:
        yield f"history ends in {history[-1]['to']}, the phase is {phase}"
    if not history and phase != Phase.CREATED:
        yield f"{phase} without a history"
    if len(history) > HISTORY_LIMIT:
        yield f"history has {len(history)} entries"
    for entry in history:
        if Phase(entry["to"]) not in TRANSITIONS[Phase(entry["from"])]:
            yield f"illegal transition {entry['from']} → {entry['to']}"
        if entry["reason"] not in list(Reason):
            yield f"unknown reason {entry['reason']}"
    for one, two in pairwise(history):
        if one["to"] != two["from"] or one["time"] > two["time"]:
            yield f"history jumps from {one} to {two}"


def _conditions(version: Object, status: Object) -> Iterator[str]:
    conditions = {it["type"]: it for it in status.get("conditions", [])}
    if ConditionType.READY not in conditions:
        yield "no Ready condition"
    for kind, condition in conditions.items():
        if kind in ONLY_WHILE_TRUE and condition["status"] != "True":
            yield f"{kind} is {condition['status']}"
        if condition["reason"] not in list(Reason):
            yield f"{kind} has the unknown reason {condition['reason']}"
        if "observedGeneration" not in condition:
            yield f"{kind} does not say which generation it observed"
    ready = conditions.get(ConditionType.READY, {}).get("status") == "True"
    if ready and ONLY_WHILE_TRUE & conditions.keys():
        yield "Ready, and yet Reconciling or Stalled"
    if ready and TARGET_PHASE[DesiredState(status["effectiveState"])] != status["phase"]:
        yield f"Ready in {status['phase']}, but it is to be {status['effectiveState']}"
    if status.get("observedGeneration", 0) > version["metadata"]["generation"]:
        yield "observed a generation that is not there yet"


def _owners(version: Object) -> Iterator[str]:
    owners = version["metadata"].get("ownerReferences", [])
    if sum(owner.get("controller", False) for owner in owners) > 1:
        yield "more than one controller"


def _continuity(before: Object, status: Object) -> Iterator[str]:
    """What one version did is in the next one's history."""
    old, new = before.get("history", []), status.get("history", [])
    if old == new:
        return
    kept = next((start for start in range(len(old) + 1) if new[: len(old) - start] == old[start:]), len(old))
    if kept and len(new) < HISTORY_LIMIT:
        yield "history has lost entries"
    if before and not new[len(old) - kept :]:
        yield "history was rewritten"
    for name in ("restarts",):
        if status.get(name, 0) < before.get(name, 0):
            yield f"{name} counted backwards"
