"""An instance with a volume and real containers in all desired states."""

from __future__ import annotations

from tests.e2e.release import InstanceNamespace, until

DATA = [{"target": "/data", "source": "data", "size": "8Mi"}]


def test_real_containers_follow_the_desired_state(namespace: InstanceNamespace) -> None:
    namespace.template(volumes=DATA, user="4711")
    namespace.instance("web")
    namespace.await_phase("Running", "web")
    first = namespace.await_answer("web", starts=1)
    (pod,) = namespace.pods("web")

    # Paused: the Service has no endpoint, and the process keeps running.
    namespace.patch("web", desiredState="Paused", reason="maintenance")
    namespace.await_phase("Paused", "web")
    until(lambda: namespace.endpoints("web"), [], "the Service has no endpoint")
    until(lambda: namespace.request_service("web"), {}, "the Service does not answer")
    assert namespace.request_pod("web")["life"] == first["life"]
    assert set(namespace.pods("web")) == {pod}

    # Resumed: the same process serves again.
    namespace.patch("web", desiredState="Running")
    namespace.await_phase("Running", "web")
    namespace.await_answer("web", life=first["life"])

    # Stopped: no process is left, and the volume keeps its data.
    namespace.patch("web", desiredState="Stopped")
    namespace.await_phase("Stopped", "web")
    assert namespace.pods("web") == {}
    assert namespace.get(namespace.workload_name("web"), "service")
    namespace.patch("web", desiredState="Running")
    namespace.await_phase("Running", "web")
    second = namespace.await_answer("web", starts=2)
    assert second["life"] != first["life"]

    # Restarted: one stop and one start.
    namespace.patch("web", restartedAt="2030-01-01T00:00:00Z")
    third = namespace.await_answer("web", starts=3)
    assert third["life"] not in (first["life"], second["life"])
    namespace.await_phase("Running", "web")
    assert namespace.status("web")["restarts"] == 1

    # Archived: only the instance and its volume are left.
    workload = namespace.workload_name("web")
    namespace.patch("web", desiredState="Archived")
    namespace.await_phase("Archived", "web")
    until(lambda: namespace.get(workload, "service"), {}, "the Service is gone")
    until(lambda: namespace.get(workload, "deployment"), {}, "the Deployment is gone")
    claims = namespace.kubectl("get", "persistentvolumeclaims", "--output=jsonpath={.items[*].status.phase}")
    assert claims == "Bound"
    history = [entry["to"] for entry in namespace.status("web")["history"]]
    assert history[-3:] == ["Stopping", "Stopped", "Archived"]
