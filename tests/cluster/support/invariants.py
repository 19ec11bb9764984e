"""Invariants of every version of every instance that a test has recorded, whatever the test is about."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase
from hopper.api.instance import HISTORY_LIMIT
from hopper.api.resources import Manifest
from hopper.domain.lifecycle import TARGET_PHASE, TRANSITIONS
from tests.cluster.support.watch_recorder import WatchRecorder

ONLY_WHILE_TRUE = {ConditionType.RECONCILING, ConditionType.STALLED}


def violations(recorder: WatchRecorder) -> list[str]:
    """Return one line for each violation in a recorded version, without duplicates."""
    last_status: dict[str, Manifest] = {}
    found: dict[str, None] = {}
    for event in recorder.log:
        version = event.object
        status = version.get("status", {})
        if "phase" in status:  # else no operator has written it
            uid = version["metadata"]["uid"]
            problems = [*_history_problems(status), *_condition_problems(version, status), *_owner_problems(version)]
            problems += _continuity_problems(last_status.get(uid, {}), status)
            last_status[uid] = status
            place = f"{event.name} at {version['metadata']['resourceVersion']}"
            found |= {f"{place}: {problem}": None for problem in problems}
    return list(found)


def _history_problems(status: Manifest) -> Iterator[str]:
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
    for earlier, later in pairwise(history):
        if earlier["to"] != later["from"] or earlier["time"] > later["time"]:
            yield f"history jumps from {earlier} to {later}"


def _condition_problems(version: Manifest, status: Manifest) -> Iterator[str]:
    conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
    if ConditionType.READY not in conditions:
        yield "no Ready condition"
    for condition_type, condition in conditions.items():
        if condition_type in ONLY_WHILE_TRUE and condition["status"] != "True":
            yield f"{condition_type} is {condition['status']}"
        if condition["reason"] not in list(Reason):
            yield f"{condition_type} has the unknown reason {condition['reason']}"
        if "observedGeneration" not in condition:
            yield f"{condition_type} has no observedGeneration"
    is_ready = conditions.get(ConditionType.READY, {}).get("status") == "True"
    if is_ready and ONLY_WHILE_TRUE & conditions.keys():
        yield "Ready together with Reconciling or Stalled"
    if is_ready and TARGET_PHASE[DesiredState(status["effectiveState"])] != status["phase"]:
        yield f"Ready in {status['phase']}, but the effective state is {status['effectiveState']}"
    if status.get("observedGeneration", 0) > version["metadata"]["generation"]:
        yield "observedGeneration is greater than the generation"


def _owner_problems(version: Manifest) -> Iterator[str]:
    owners = version["metadata"].get("ownerReferences", [])
    if sum(owner.get("controller", False) for owner in owners) > 1:
        yield "more than one controller"


def _continuity_problems(before: Manifest, status: Manifest) -> Iterator[str]:
    """Yield a problem if the history of a version does not continue the history of the version before."""
    old, new = before.get("history", []), status.get("history", [])
    if old == new:
        return
    dropped = next((start for start in range(len(old) + 1) if new[: len(old) - start] == old[start:]), len(old))
    if dropped and len(new) < HISTORY_LIMIT:
        yield "history has lost entries"
    if before and not new[len(old) - dropped :]:
        yield "history was rewritten"
    if status.get("restarts", 0) < before.get("restarts", 0):
        yield "restarts has decreased"
