"""Failures of real containers, and the recovery from them."""

from __future__ import annotations

from tests.e2e.release import LONG_TIMEOUT, InstanceNamespace, until

UNKNOWN_IMAGE = "registry.invalid/unknown/image:1"
RETRYING_POLICY = {"policy": "OnFailure", "maxRetries": 100, "backoffSeconds": 2, "maxBackoffSeconds": 4}


def test_failing_instances_report_a_reason_and_recover(namespace: InstanceNamespace) -> None:
    good = namespace.release.site.version.image
    namespace.template("unknown", image=UNKNOWN_IMAGE)
    namespace.template("crashing", env=[{"name": "CRASH", "value": "yes"}])
    for name in ("unknown", "crashing"):
        namespace.instance(name, template=name, restartPolicy={"policy": "Never"})

    def failure(name: str) -> tuple[str, str]:
        return namespace.phase(name), namespace.condition(name, "WorkloadAvailable").get("reason", "")

    until(lambda: failure("unknown"), ("Error", "ImagePullBackOff"), "an unknown image is an Error", LONG_TIMEOUT)
    until(lambda: failure("crashing"), ("Error", "CrashLoopBackOff"), "a crash loop is an Error", LONG_TIMEOUT)
    assert UNKNOWN_IMAGE in namespace.condition("unknown", "Ready")["message"]
    assert "exit code 1" in namespace.condition("crashing", "Ready")["message"]

    # Corrected templates and the restart policy recover both instances.
    for name in ("unknown", "crashing"):
        namespace.patch(name, restartPolicy=RETRYING_POLICY)
    namespace.template("unknown", image=good)
    namespace.template("crashing")
    namespace.await_phase("Running", "unknown", "crashing")
    for name in ("unknown", "crashing"):
        assert namespace.await_answer(name, greeting="")["life"]


def test_a_crash_loop_can_be_stopped(namespace: InstanceNamespace) -> None:
    namespace.template("crashing", env=[{"name": "CRASH", "value": "yes"}])
    namespace.instance("crashing", template="crashing")
    until(
        lambda: "Error" in [entry["to"] for entry in namespace.status("crashing").get("history", [])],
        True,
        "an Error",
        LONG_TIMEOUT,
    )
    namespace.patch("crashing", desiredState="Stopped")
    namespace.await_phase("Stopped", "crashing")
    assert namespace.pods("crashing") == {}
