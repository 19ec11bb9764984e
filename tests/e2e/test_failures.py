"""What goes wrong with real containers, and that it can be put right."""

from __future__ import annotations

from tests.e2e.hopper import LONG, Space, until

NOWHERE = "registry.invalid/nobody/nothing:1"
PATIENT = {"policy": "OnFailure", "maxRetries": 100, "backoffSeconds": 2, "maxBackoffSeconds": 4}


def test_errors_have_a_reason_and_an_end(space: Space) -> None:
    good = space.system.site.version.image
    space.template("unknown", image=NOWHERE)
    space.template("crashing", env=[{"name": "CRASH", "value": "yes"}])
    for name in ("unknown", "crashing"):
        space.instance(name, template=name, restartPolicy={"policy": "Never"})

    def failure(name: str) -> tuple[str, str]:
        return space.phase(name), space.condition(name, "WorkloadAvailable").get("reason", "")

    until(lambda: failure("unknown"), ("Error", "ImagePullBackOff"), "a wrong image is an Error", LONG)
    until(lambda: failure("crashing"), ("Error", "CrashLoopBackOff"), "a crash loop is an Error", LONG)
    assert NOWHERE in space.condition("unknown", "Ready")["message"]
    assert "exit code 1" in space.condition("crashing", "Ready")["message"]

    # Both are put right in the template, and get well by the restart policy.
    for name in ("unknown", "crashing"):
        space.patch(name, restartPolicy=PATIENT)
    space.template("unknown", image=good)
    space.template("crashing")
    space.await_phase("Running", "unknown", "crashing")
    for name in ("unknown", "crashing"):
        assert space.await_answer(name, greeting="")["life"]


def test_a_crash_loop_can_be_stopped(space: Space) -> None:
    space.template("crashing", env=[{"name": "CRASH", "value": "yes"}])
    space.instance("crashing", template="crashing")
    until(lambda: "Error" in [it["to"] for it in space.status("crashing").get("history", [])], True, "an Error", LONG)
    space.patch("crashing", desiredState="Stopped")
    space.await_phase("Stopped", "crashing")
    assert space.pods("crashing") == {}
