"""Plans for instances with a template, whatever it contains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Phase
from hopper.api.model import NameRef
from hopper.domain.checks import DETAILS_AFTER_SECONDS
from hopper.domain.lifecycle import EffectiveState
from hopper.domain.observed import Observed, Runtime
from hopper.domain.plan import Hold, ObjectChanges
from hopper.domain.planner import plan
from hopper.domain.workload import Failure, Workload
from tests.unit.domain.sample_instances import NOW, instance, observe, phases, seconds

ABSENT = Hold(Reason.TEMPLATE_NOT_FOUND, 'template "python" (spec.templateRef.name) does not exist')
BROKEN = Hold(Reason.SERVICE_INVALID, "ports[0].containerPort is twice there", stalled=True)
ACTIVE, COMING_UP = Workload(gone=False), Workload(available=False, gone=False, message="0 of 1 pods ready")
CRASHED = Workload(available=False, gone=False, failure=Failure(Reason.CRASH_LOOP, "exit code 1"))


def running(
    workload: Workload = ACTIVE, *, age: float = 3600, runtime: dict[str, Any] | None = None, **fields: Any
) -> Observed:
    """Observe an instance with a template and no owned objects."""
    subject = instance(template_ref=NameRef(name="python"), age=age, **fields)
    return observe(subject, workload=workload, runtime=Runtime(owned={}, **(runtime or {})))


def conditions_of(o: Observed) -> dict[str, str]:
    status = plan(o).status
    assert status is not None
    return {entry.type: f"{entry.status} {entry.reason}" for entry in status.conditions}


@pytest.mark.parametrize("problem", [ABSENT, BROKEN], ids=["absent", "broken"])
def test_an_instance_that_cannot_be_rendered_does_not_start(problem: Hold) -> None:
    o = running(phase=Phase.CREATED, runtime={"problem": problem})
    assert plan(o).transitions == ()
    conditions = conditions_of(o)
    assert conditions["Ready"] == f"False {problem.reason}"
    assert conditions["TemplateResolved"] == f"False {problem.reason}"
    assert conditions["WorkloadAvailable"] == "False NothingRuns"
    assert ("Stalled" in conditions) == problem.stalled


def test_a_running_instance_that_cannot_be_rendered_keeps_running() -> None:
    o = running(phase=Phase.RUNNING, runtime={"problem": BROKEN})
    assert plan(o).transitions == ()
    assert conditions_of(o)["Ready"] == "False ServiceInvalid"
    assert conditions_of(o)["WorkloadAvailable"] == "True WorkloadAvailable"


@pytest.mark.parametrize("desired", [DesiredState.STOPPED, DesiredState.ARCHIVED, DesiredState.TERMINATED])
def test_a_running_instance_that_cannot_be_rendered_can_stop(desired: DesiredState) -> None:
    gone = Workload(available=False, gone=True)
    o = running(gone, phase=Phase.RUNNING, desired=desired, runtime={"problem": BROKEN})
    assert phases(plan(o)).split()[-1] == desired


@pytest.mark.parametrize("problem", [ABSENT, BROKEN], ids=["absent", "broken"])
def test_a_final_instance_needs_no_template(problem: Hold) -> None:
    """Its spec is read-only, so a missing template must not make it unready."""
    for phase, ready in ((Phase.ARCHIVED, "True Archived"), (Phase.TERMINATED, "True Terminated")):
        o = running(Workload(), phase=phase, desired=DesiredState(phase.value), runtime={"problem": problem})
        assert conditions_of(o) | {"Ready": ready, "TemplateResolved": f"False {problem.reason}"} == conditions_of(o)
        assert "Stalled" not in conditions_of(o)
    o = running(Workload(), phase=Phase.STOPPED, desired=DesiredState.STOPPED, runtime={"problem": problem})
    assert conditions_of(o)["Ready"] == f"False {problem.reason}", "a stopped instance must be able to start"


@pytest.mark.parametrize("desired", [DesiredState.STOPPED, DesiredState.ARCHIVED, DesiredState.TERMINATED])
def test_pods_of_an_instance_without_status_are_stopped(desired: DesiredState) -> None:
    """For example after a restore without statuses, or a rollback of the operator."""
    deployment = {"kind": "Deployment", "metadata": {"name": "hopper-a"}, "spec": {"replicas": 1}}
    o = running(phase=Phase.CREATED, desired=desired, runtime={"problem": ABSENT})
    assert o.runtime
    o = replace(o, runtime=replace(o.runtime, owned={("Deployment", "hopper-a"): deployment}))
    decided = plan(o)
    assert decided.transitions == ()
    assert decided.objects.patch == ((deployment, {"spec": {"replicas": 0}}),)
    assert phases(plan(replace(o, workload=Workload()))).split()[-1] == desired


def test_an_instance_waits_for_the_siblings_it_depends_on() -> None:
    o = running(phase=Phase.CREATED, runtime={"missing_dependencies": ("db, which is Starting",)})
    assert plan(o).transitions == ()
    assert conditions_of(o)["Ready"] == "False DependencyNotReady"
    ready = (plan(o).status or o.instance.status).condition(ConditionType.READY)
    assert ready
    assert ready.message == "waits for db, which is Starting (dependsOn in the template)"
    assert phases(plan(running(phase=Phase.RUNNING, runtime={"missing_dependencies": ("db",)}))) == "", (
        "a running instance keeps running"
    )


@pytest.mark.parametrize(
    "runtime", [{"problem": ABSENT}, {"missing_dependencies": ("db",)}], ids=["template", "sibling"]
)
def test_the_first_status_is_delayed_while_a_template_or_sibling_is_missing(runtime: dict[str, Any]) -> None:
    decided = plan(running(age=0.5, runtime=runtime))
    assert (decided.status, decided.requeue_after) == (None, 1.5)


def test_an_instance_waits_for_a_name_that_is_still_in_use() -> None:
    left = "PersistentVolumeClaim web-data still exists and belongs to an earlier owner: wait until it is deleted"
    o = replace(running(phase=Phase.CREATED), name_conflict=left)
    assert plan(o).transitions == ()
    assert conditions_of(o) | {"Ready": "False NameInUse", "Reconciling": "True NameInUse"} == conditions_of(o)
    stopped = replace(
        running(phase=Phase.CREATED, desired=DesiredState.STOPPED), name_conflict=left, workload=Workload()
    )
    assert conditions_of(stopped)["Ready"] == "False NameInUse"
    assert plan(replace(running(age=0.5), name_conflict=left)).status is None, "the first status is delayed"


def test_an_instance_leaves_error_when_its_workload_recovers() -> None:
    o = running(phase=Phase.ERROR, since=1, status={"retries": 5}, runtime={"current": True})
    decided = plan(o)
    assert phases(decided) == "Error Starting Running"
    assert decided.transitions[0].reason is Reason.WORKLOAD_AVAILABLE
    assert decided.status
    assert decided.status.restarts == 0, "a recovery is no restart"
    still_down = replace(o, workload=CRASHED)
    assert plan(still_down).transitions == ()
    assert conditions_of(still_down)["WorkloadAvailable"] == f"False {Reason.CRASH_LOOP}"


@pytest.mark.parametrize(
    ("runtime", "fields"),
    [
        ({"problem": ABSENT}, {}),
        ({"problem": BROKEN}, {}),
        ({"current": True, "missing_dependencies": ("db",)}, {}),
        ({"current": True}, {"parent": "gone"}),
    ],
    ids=["missing template", "invalid template", "missing sibling", "no parent"],
)
def test_the_gates_of_a_start_do_not_apply_to_a_recovery(runtime: dict[str, Any], fields: dict[str, Any]) -> None:
    o = running(phase=Phase.ERROR, since=1, runtime=runtime, **fields)
    assert phases(plan(o)) == "Error Starting Running"
    assert plan(replace(o, workload=CRASHED)).transitions == ()
    restart_spec = replace(o.instance.spec, restarted_at=NOW)
    if "problem" in runtime or fields:
        restart = plan(replace(o, instance=replace(o.instance, spec=restart_spec)))
        assert restart.transitions == (), "an impossible restart is not counted"


def test_an_unreadable_spec_prevents_a_start_and_is_reported() -> None:
    o = observe(instance(phase=Phase.CREATED), spec_problems=("spec.replicas: not a number",))
    assert plan(o).transitions == ()
    assert conditions_of(o) == {"Ready": "False SpecInvalid", "Stalled": "True SpecInvalid"}


def test_owned_objects_are_kept_while_the_spec_is_unreadable() -> None:
    """The missing field may be the template reference, or all overrides."""
    deployment = {"kind": "Deployment", "metadata": {"name": "hopper-a"}, "spec": {"replicas": 1}}
    deployment["metadata"]["ownerReferences"] = [{"uid": "uid-web", "controller": True}]
    runtime = Runtime(owned={("Deployment", "hopper-a"): deployment})
    o = observe(instance(phase=Phase.RUNNING), workload=ACTIVE, runtime=runtime)
    assert plan(o).objects.delete == (deployment,), "without a template"
    unread = replace(o, spec_problems=("spec.templateRef cannot be read",))
    assert plan(unread).objects == ObjectChanges()
    assert plan(replace(unread, effective=EffectiveState(DesiredState.STOPPED))).objects.patch, "it can still stop"


def test_the_instance_is_requeued_when_pods_must_be_judged_again() -> None:
    assert plan(running(phase=Phase.RUNNING, runtime={"recheck_after": 42.0})).requeue_after == 42.0


def test_the_message_of_a_long_wait_contains_details() -> None:
    """Before that, a change of the details must not cause a write."""
    o = running(COMING_UP, phase=Phase.CREATED)
    decided = plan(o)
    assert decided.status
    assert (phases(decided), decided.requeue_after) == ("Created Starting", DETAILS_AFTER_SECONDS)
    messages = {entry.message for entry in decided.status.conditions if entry.type in ("Ready", "WorkloadAvailable")}
    assert messages == {"waits for its workload to become available"}
    later = replace(o.with_status(decided.status), now=NOW + seconds(DETAILS_AFTER_SECONDS - 1))
    assert plan(replace(later, workload=replace(COMING_UP, message="0 of 2 pods ready"))).status == decided.status
    status_after_long_wait = plan(replace(later, now=NOW + seconds(DETAILS_AFTER_SECONDS))).status
    assert status_after_long_wait
    assert {
        entry.message for entry in status_after_long_wait.conditions if entry.type in ("Ready", "WorkloadAvailable")
    } == {COMING_UP.message}
