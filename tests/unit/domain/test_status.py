"""Conditions and other fields of the status."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase, Scope
from hopper.api.instance import ChildCounts, HopperInstance, InstanceStatus
from hopper.api.model import Condition, NameRef
from hopper.api.service import EnvEntry, Overrides
from hopper.domain.messages import LONGEST_MESSAGE
from hopper.domain.observed import ChildSummary, HookFailure, Observed
from hopper.domain.planner import plan
from hopper.domain.workload import Failure, Workload
from tests.unit.domain.sample_instances import NOW, condition, from_wire, instance, observe, policy, seconds

GLOBAL = instance("global", Scope.GLOBAL, phase=Phase.RUNNING)
WEB = instance("web", parent=GLOBAL, phase=Phase.RUNNING)
COMING_UP = Workload(available=False, gone=False)
ROLLING_OUT = Workload(available=False, gone=False, rolling_out=True)


def worker(**fields: Any) -> HopperInstance:
    return instance("worker", Scope.ORCHESTRATION, **({"parent": WEB, "phase": Phase.RUNNING} | fields))


def planned(o: Observed) -> InstanceStatus:
    status = plan(o).status
    assert status is not None
    return status


def conditions_of(o: Observed) -> list[str]:
    """Return the conditions as `Type=Status Reason`."""
    return [f"{entry.type}={entry.status} {entry.reason}" for entry in planned(o).conditions]


def only(status: InstanceStatus, kind: ConditionType) -> Condition:
    found = status.condition(kind)
    assert found is not None
    return found


PAUSED_WEB = instance("web", parent=GLOBAL, phase=Phase.PAUSED, desired=DesiredState.PAUSED)
ACCEPTED = "HierarchyValid=True ParentAccepted"

# name: the observation, and all its conditions
CONDITIONS: dict[str, tuple[Observed, list[str]]] = {
    "a root": (observe(GLOBAL), ["Ready=True Running"]),
    "a child": (observe(worker(), WEB, GLOBAL), ["Ready=True Running", ACCEPTED]),
    "stopped as wanted": (observe(instance(phase=Phase.STOPPED, desired=DesiredState.STOPPED)), ["Ready=True Stopped"]),
    "inherited": (observe(worker(), PAUSED_WEB, GLOBAL), ["Ready=True InheritedFrom", ACCEPTED]),
    "its own desired state comes first": (
        observe(worker(desired=DesiredState.PAUSED), PAUSED_WEB, GLOBAL),
        ["Ready=True Paused", ACCEPTED],
    ),
    "starting": (
        observe(instance(phase=Phase.STARTING), workload=COMING_UP),
        ["Ready=False Starting", "Reconciling=True Starting"],
    ),
    "waiting for the parent": (
        observe(worker(phase=Phase.CREATED), replace(WEB, status=InstanceStatus())),
        ["Ready=False ParentNotReady", "Reconciling=True ParentNotReady", ACCEPTED],
    ),
    "waiting for a parent that does not exist": (
        observe(worker(phase=Phase.CREATED)),
        ["Ready=False ParentNotFound", "Reconciling=True ParentNotFound", "HierarchyValid=False ParentNotFound"],
    ),
    "an orphan keeps running": (observe(worker()), ["Ready=True Running", "HierarchyValid=False Orphaned"]),
    "a stopped orphan waits": (
        observe(worker(phase=Phase.STOPPED)),
        ["Ready=False Orphaned", "Reconciling=True Orphaned", "HierarchyValid=False Orphaned"],
    ),
    "a child keeps running if a parent that does not own it is being deleted": (
        observe(worker(parent="web"), replace(WEB, metadata=replace(WEB.metadata, deletion_timestamp=NOW)), GLOBAL),
        ["Ready=True Running", "HierarchyValid=False ParentIsBeingDeleted"],
    ),
    "created with an invalid parent": (
        observe(worker(parent="global", phase=Phase.CREATED), GLOBAL),
        ["Ready=False WrongParentScope", "Stalled=True WrongParentScope", "HierarchyValid=False WrongParentScope"],
    ),
    "running with an invalid parent": (
        observe(worker(parent=None)),
        ["Ready=False ParentRequired", "Stalled=True ParentRequired", "HierarchyValid=False ParentRequired"],
    ),
    "starting with an invalid parent": (
        observe(worker(parent=None, phase=Phase.STARTING), workload=COMING_UP),
        ["Ready=False Starting", "Stalled=True ParentRequired", "HierarchyValid=False ParentRequired"],
    ),
    "running with an invalid config": (
        observe(instance(phase=Phase.RUNNING), config_problems=("spec.config.x is wrong",)),
        ["Ready=False ConfigInvalid", "Stalled=True ConfigInvalid"],
    ),
    "an invalid config comes before an invalid parent": (
        observe(worker(parent=None), config_problems=("spec.config.x is wrong",)),
        ["Ready=False ConfigInvalid", "Stalled=True ConfigInvalid", "HierarchyValid=False ParentRequired"],
    ),
    "a rejected write comes before both": (
        observe(worker(parent=None), config_problems=("spec.config.x is wrong",), refusal="403: no"),
        ["Ready=False WriteRefused", "Stalled=True WriteRefused", "HierarchyValid=False ParentRequired"],
    ),
    "a change is rolled out": (
        observe(instance(phase=Phase.RUNNING), workload=ROLLING_OUT),
        ["Ready=False RollingOut", "Reconciling=True RollingOut"],
    ),
    "pods are lost without a change": (
        observe(instance(phase=Phase.RUNNING), workload=COMING_UP),
        ["Ready=False Starting", "Reconciling=True Starting"],
    ),
    "a rollout lasts until the workload is available, whatever the Deployment reports": (
        observe(
            instance(
                phase=Phase.RUNNING,
                status={"conditions": (condition(ConditionType.READY, "False", Reason.ROLLING_OUT),)},
            ),
            workload=COMING_UP,
        ),
        ["Ready=False RollingOut", "Reconciling=True RollingOut"],
    ),
    "a start is no rollout": (
        observe(instance(phase=Phase.STARTING), workload=ROLLING_OUT),
        ["Ready=False Starting", "Reconciling=True Starting"],
    ),
    "a rejected write explains an incomplete rollout": (
        observe(instance(phase=Phase.RUNNING), workload=ROLLING_OUT, refusal="403: no"),
        ["Ready=False WriteRefused", "Stalled=True WriteRefused"],
    ),
    "in Error, about to be restarted": (
        observe(instance(phase=Phase.ERROR, since=1)),
        ["Ready=False BackOff", "Reconciling=True BackOff"],
    ),
    "given up": (
        observe(instance(phase=Phase.ERROR, restart_policy=policy(max_retries=0))),
        ["Ready=False RestartsExhausted", "Stalled=True RestartsExhausted"],
    ),
    "final": (observe(instance(phase=Phase.ARCHIVED)), ["Ready=False AlreadyFinal", "Stalled=True AlreadyFinal"]),
    "waiting for children": (
        observe(
            instance(phase=Phase.RUNNING, desired=DesiredState.STOPPED),
            children=ChildSummary(total=1, ready=1, active=("a",)),
        ),
        ["Ready=False ChildrenStopping", "Reconciling=True ChildrenStopping"],
    ),
    "a hook refuses": (
        observe(
            instance(phase=Phase.RUNNING, desired=DesiredState.PAUSED),
            hook_failure=HookFailure(Phase.RUNNING, Phase.PAUSED, "no"),
        ),
        ["Ready=False HookFailed", "Reconciling=True HookFailed"],
    ),
}


@pytest.mark.parametrize("case", CONDITIONS.values(), ids=CONDITIONS)
def test_conditions(case: tuple[Observed, list[str]]) -> None:
    o, expected = case
    assert conditions_of(o) == expected
    assert {entry.observed_generation for entry in planned(o).conditions} == {o.instance.metadata.generation}


def test_an_inherited_state_names_the_ancestor() -> None:
    night = replace(GLOBAL, spec=replace(GLOBAL.spec, desired_state=DesiredState.STOPPED, reason="night"))
    ready = only(planned(observe(worker(phase=Phase.STOPPED), WEB, night)), ConditionType.READY)
    assert ready.message == 'Stopped by Global "global": night'
    ready = only(planned(observe(worker(phase=Phase.PAUSED), PAUSED_WEB, GLOBAL)), ConditionType.READY)
    assert ready.message == 'Paused by Project "web"'


def test_ready_shows_spec_reason() -> None:
    ready = only(planned(observe(instance(phase=Phase.RUNNING, reason="demo"))), ConditionType.READY)
    assert (ready.reason, ready.message) == (Reason.RUNNING, "demo")


def test_the_status_observes_the_current_generation() -> None:
    for phase in (None, *Phase):
        assert planned(observe(instance(phase=phase, generation=7, seen=3))).observed_generation == 7


def test_a_condition_keeps_its_transition_time_while_its_status_is_unchanged() -> None:
    conditions = (
        condition(ConditionType.READY, "False", "Starting", since=500),
        condition(ConditionType.HIERARCHY_VALID, "True", "ParentAccepted", since=700),
    )
    before = worker(phase=Phase.STARTING, status={"conditions": conditions})
    status = planned(observe(before, WEB, GLOBAL))
    assert only(status, ConditionType.READY).last_transition_time == NOW
    assert only(status, ConditionType.HIERARCHY_VALID).last_transition_time == NOW - seconds(700)
    waiting = planned(observe(before, WEB, GLOBAL, workload=COMING_UP))
    assert only(waiting, ConditionType.READY).last_transition_time == NOW - seconds(500)


def test_outdated_conditions_are_removed() -> None:
    leftovers = (
        condition(ConditionType.STALLED, "True", "ConfigInvalid"),
        condition(ConditionType.HIERARCHY_VALID, "False", "Orphaned"),
    )
    assert conditions_of(observe(instance(phase=Phase.RUNNING, status={"conditions": leftovers}))) == [
        "Ready=True Running"
    ]


@pytest.mark.parametrize("phase", [None, *Phase])
def test_a_second_plan_does_not_change_the_status(phase: Phase | None) -> None:
    o = observe(instance(phase=phase))
    done = o.with_status(planned(o))
    assert planned(done) == done.instance.status
    assert planned(replace(done, now=NOW + seconds(3600))) == done.instance.status


def test_path_and_depth() -> None:
    for o, path, depth in (
        (observe(GLOBAL), "global", 0),
        (observe(worker(), WEB, GLOBAL), "global/web/worker", 2),
        (observe(worker(), WEB), "web/worker", 1),
        (observe(worker()), "worker", 0),
    ):
        status = planned(o)
        assert (status.path, status.depth) == (path, depth)


def test_children_and_overrides_are_counted() -> None:
    status = planned(observe(instance(), children=ChildSummary(total=3, ready=2, expected=True)))
    assert status.children == ChildCounts(total=3, ready=2)
    assert planned(observe(instance(), children=ChildSummary(expected=True))).children is None
    overrides = Overrides(env=(EnvEntry(name="A"), EnvEntry(name="B")))
    assert planned(observe(instance(overrides=overrides))).override_count == 2
    assert planned(observe(instance(overrides=Overrides()))).override_count is None


def test_overrides_without_a_template_cause_a_warning() -> None:
    """They are not an error, because a template may be set later."""
    overrides = Overrides(env=(EnvEntry(name="A", value="1"),))
    status = planned(observe(instance(overrides=overrides)))
    warning = only(status, ConditionType.WARNING)
    assert (warning.status, warning.reason) == ("True", Reason.RUNS_WITH_WARNINGS)
    assert "set spec.templateRef.name, or remove the overrides" in warning.message
    assert status.is_ready
    for fine in (
        instance(),
        instance(overrides=Overrides()),
        instance(overrides=overrides, template_ref=NameRef(name="t")),
    ):
        assert planned(observe(fine)).condition(ConditionType.WARNING) is None


def test_effective_state() -> None:
    assert planned(observe(worker(), PAUSED_WEB, GLOBAL)).effective_state is DesiredState.PAUSED
    assert planned(observe(worker(), WEB, GLOBAL)).effective_state is DesiredState.RUNNING


def test_messages_are_truncated() -> None:
    """Hooks and container runtimes return texts of any length, but the size of a status is limited."""
    endless = "x" * 100_000
    failed = observe(
        instance(phase=Phase.RUNNING), workload=Workload(available=False, failure=Failure(Reason.BACK_OFF, endless))
    )
    refused = observe(
        instance(phase=Phase.RUNNING, desired=DesiredState.PAUSED),
        hook_failure=HookFailure(Phase.RUNNING, Phase.PAUSED, endless),
    )
    wrong = observe(instance(), config_problems=(endless, endless))
    for o in (failed, refused, wrong):
        status = planned(o)
        texts = [entry.message for entry in (*status.conditions, *status.history)]
        assert max(map(len, texts)) == LONGEST_MESSAGE
        assert planned(o.with_status(status)) == status


def test_a_long_error_leaves_room_for_advice() -> None:
    crash = Workload(available=False, failure=Failure(Reason.BACK_OFF, "x" * 100_000))
    ready = only(
        planned(observe(instance(phase=Phase.RUNNING, restart_policy=policy(max_retries=0)), workload=crash)),
        ConditionType.READY,
    )
    assert ready.message.endswith("change the spec or set spec.restartedAt to try again")


def test_a_spec_reason_of_maximum_length_is_shown_in_full() -> None:
    spoken = from_wire({"scope": "Project", "reason": "r" * 1024})
    assert only(planned(observe(spoken)), ConditionType.READY).message == "r" * 1024
