"""How the planner treats instances that run something, without looking into what that is."""

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
    """Observe an instance with a template; nothing that it owns matters here."""
    subject = instance(template_ref=NameRef(name="python"), age=age, **fields)
    return observe(subject, workload=workload, runtime=Runtime(owned={}, **(runtime or {})))


def said(o: Observed) -> dict[str, str]:
    status = plan(o).status
    assert status is not None
    return {it.type: f"{it.status} {it.reason}" for it in status.conditions}


@pytest.mark.parametrize("problem", [ABSENT, BROKEN], ids=["absent", "broken"])
def test_what_cannot_be_rendered_does_not_start(problem: Hold) -> None:
    o = running(phase=Phase.CREATED, runtime={"problem": problem})
    assert plan(o).transitions == ()
    conditions = said(o)
    assert conditions["Ready"] == f"False {problem.reason}"
    assert conditions["TemplateResolved"] == f"False {problem.reason}"
    assert conditions["WorkloadAvailable"] == "False NothingRuns"
    assert ("Stalled" in conditions) == problem.stalled


def test_what_runs_already_runs_on() -> None:
    o = running(phase=Phase.RUNNING, runtime={"problem": BROKEN})
    assert plan(o).transitions == ()
    assert said(o)["Ready"] == "False ServiceInvalid"
    assert said(o)["WorkloadAvailable"] == "True WorkloadAvailable"


@pytest.mark.parametrize("desired", [DesiredState.STOPPED, DesiredState.ARCHIVED, DesiredState.TERMINATED])
def test_and_can_be_stopped(desired: DesiredState) -> None:
    gone = Workload(available=False, gone=True)
    o = running(gone, phase=Phase.RUNNING, desired=desired, runtime={"problem": BROKEN})
    assert phases(plan(o)).split()[-1] == desired


@pytest.mark.parametrize("problem", [ABSENT, BROKEN], ids=["absent", "broken"])
def test_what_has_ended_needs_no_template(problem: Hold) -> None:
    """Nothing can be done about it, as its spec is read-only, and nothing has to be."""
    for phase, ready in ((Phase.ARCHIVED, "True Archived"), (Phase.TERMINATED, "True Terminated")):
        o = running(Workload(), phase=phase, desired=DesiredState(phase.value), runtime={"problem": problem})
        assert said(o) | {"Ready": ready, "TemplateResolved": f"False {problem.reason}"} == said(o)
        assert "Stalled" not in said(o)
    o = running(Workload(), phase=Phase.STOPPED, desired=DesiredState.STOPPED, runtime={"problem": problem})
    assert said(o)["Ready"] == f"False {problem.reason}", "it could not start again"


@pytest.mark.parametrize("desired", [DesiredState.STOPPED, DesiredState.ARCHIVED, DesiredState.TERMINATED])
def test_what_runs_without_a_status_is_stopped(desired: DesiredState) -> None:
    """As after a restore that left statuses out, or a roll-back from an operator with phases of its own."""
    deployment = {"kind": "Deployment", "metadata": {"name": "hopper-a"}, "spec": {"replicas": 1}}
    o = running(phase=Phase.CREATED, desired=desired, runtime={"problem": ABSENT})
    assert o.runtime
    o = replace(o, runtime=replace(o.runtime, owned={("Deployment", "hopper-a"): deployment}))
    decided = plan(o)
    assert decided.transitions == ()
    assert decided.objects.patch == ((deployment, {"spec": {"replicas": 0}}),)
    assert phases(plan(replace(o, workload=Workload()))).split()[-1] == desired


def test_siblings_that_it_depends_on_come_first() -> None:
    o = running(phase=Phase.CREATED, runtime={"missing_dependencies": ("db, which is Starting",)})
    assert plan(o).transitions == ()
    assert said(o)["Ready"] == "False DependencyNotReady"
    ready = (plan(o).status or o.instance.status).condition(ConditionType.READY)
    assert ready
    assert ready.message == "waits for db, which is Starting (dependsOn in the template)"
    assert phases(plan(running(phase=Phase.RUNNING, runtime={"missing_dependencies": ("db",)}))) == "", (
        "what runs, runs on"
    )


@pytest.mark.parametrize(
    "runtime", [{"problem": ABSENT}, {"missing_dependencies": ("db",)}], ids=["template", "sibling"]
)
def test_a_newcomer_is_given_a_moment_for_others_to_come_along(runtime: dict[str, Any]) -> None:
    decided = plan(running(age=0.5, runtime=runtime))
    assert (decided.status, decided.requeue_after) == (None, 1.5)


def test_a_name_that_an_earlier_instance_has_not_let_go_of_is_waited_for() -> None:
    left = "PersistentVolumeClaim web-data still exists and belongs to an earlier owner: wait until it is deleted"
    o = replace(running(phase=Phase.CREATED), name_conflict=left)
    assert plan(o).transitions == ()
    assert said(o) | {"Ready": "False NameInUse", "Reconciling": "True NameInUse"} == said(o)
    stopped = replace(
        running(phase=Phase.CREATED, desired=DesiredState.STOPPED), name_conflict=left, workload=Workload()
    )
    assert said(stopped)["Ready"] == "False NameInUse"
    assert plan(replace(running(age=0.5), name_conflict=left)).status is None, "usually that is brief"


def test_what_recovers_by_itself_leaves_error() -> None:
    o = running(phase=Phase.ERROR, since=1, status={"retries": 5}, runtime={"current": True})
    decided = plan(o)
    assert phases(decided) == "Error Starting Running"
    assert decided.transitions[0].reason is Reason.WORKLOAD_AVAILABLE
    assert decided.status
    assert decided.status.restarts == 0, "nobody restarted it"
    still_down = replace(o, workload=CRASHED)
    assert plan(still_down).transitions == ()
    assert said(still_down)["WorkloadAvailable"] == f"False {Reason.CRASH_LOOP}"


@pytest.mark.parametrize(
    ("runtime", "fields"),
    [
        ({"problem": ABSENT}, {}),
        ({"problem": BROKEN}, {}),
        ({"current": True, "missing_dependencies": ("db",)}, {}),
        ({"current": True}, {"parent": "gone"}),
    ],
    ids=["no template", "a broken one", "a sibling", "no parent"],
)
def test_and_what_would_keep_it_from_a_start_does_not_keep_it_there(
    runtime: dict[str, Any], fields: dict[str, Any]
) -> None:
    o = running(phase=Phase.ERROR, since=1, runtime=runtime, **fields)
    assert phases(plan(o)) == "Error Starting Running"
    assert plan(replace(o, workload=CRASHED)).transitions == ()
    asked = replace(o.instance.spec, restarted_at=NOW)
    if "problem" in runtime or fields:
        restart = plan(replace(o, instance=replace(o.instance, spec=asked)))
        assert restart.transitions == (), "no restart is counted that cannot be"


def test_a_spec_that_cannot_be_read_is_said_and_starts_nothing() -> None:
    o = observe(instance(phase=Phase.CREATED), spec_problems=("spec.replicas: not a number",))
    assert plan(o).transitions == ()
    assert said(o) == {"Ready": "False SpecInvalid", "Stalled": "True SpecInvalid"}


def test_what_runs_is_kept_while_its_spec_cannot_be_read() -> None:
    """What is left out of the spec may be the template's name, or all overrides."""
    deployment = {"kind": "Deployment", "metadata": {"name": "hopper-a"}, "spec": {"replicas": 1}}
    deployment["metadata"]["ownerReferences"] = [{"uid": "uid-web", "controller": True}]
    runtime = Runtime(owned={("Deployment", "hopper-a"): deployment})
    o = observe(instance(phase=Phase.RUNNING), workload=ACTIVE, runtime=runtime)
    assert plan(o).objects.delete == (deployment,), "without a template"
    unread = replace(o, spec_problems=("spec.templateRef cannot be read",))
    assert plan(unread).objects == ObjectChanges()
    assert plan(replace(unread, effective=EffectiveState(DesiredState.STOPPED))).objects.patch, "it still obeys"


def test_time_alone_may_change_what_the_pods_mean() -> None:
    assert plan(running(phase=Phase.RUNNING, runtime={"recheck_after": 42.0})).requeue_after == 42.0


def test_details_of_a_wait_are_told_once_it_takes_long() -> None:
    """Each message would be another write of the status, and most waits are short."""
    o = running(COMING_UP, phase=Phase.CREATED)
    decided = plan(o)
    assert decided.status
    assert (phases(decided), decided.requeue_after) == ("Created Starting", DETAILS_AFTER_SECONDS)
    messages = {it.message for it in decided.status.conditions if it.type in ("Ready", "WorkloadAvailable")}
    assert messages == {"waits for its workload to become available"}
    later = replace(o.with_status(decided.status), now=NOW + seconds(DETAILS_AFTER_SECONDS - 1))
    assert plan(replace(later, workload=replace(COMING_UP, message="other news"))).status == decided.status
    told = plan(replace(later, now=NOW + seconds(DETAILS_AFTER_SECONDS))).status
    assert told
    assert {it.message for it in told.conditions if it.type in ("Ready", "WorkloadAvailable")} == {COMING_UP.message}
