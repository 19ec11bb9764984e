"""One instance with a volume, through all its states, as real containers show them."""

from __future__ import annotations

from tests.e2e.hopper import Space, until

DATA = [{"target": "/data", "source": "data", "size": "8Mi"}]


def test_an_instance_lives(space: Space) -> None:
    space.template(volumes=DATA, user="4711")
    space.instance("web")
    space.await_phase("Running", "web")
    first = space.await_answer("web", starts=1)
    (pod,) = space.pods("web")

    # Paused: out of the Service, while the process goes on.
    space.patch("web", desiredState="Paused", reason="maintenance")
    space.await_phase("Paused", "web")
    until(lambda: space.endpoints("web"), [], "nobody is behind the Service")
    until(lambda: space.ask("web"), {}, "nobody answers through the Service")
    assert space.ask_pod("web")["life"] == first["life"]
    assert set(space.pods("web")) == {pod}

    # Resumed: the same process.
    space.patch("web", desiredState="Running")
    space.await_phase("Running", "web")
    space.await_answer("web", life=first["life"])

    # Stopped: no process; what it wrote stays.
    space.patch("web", desiredState="Stopped")
    space.await_phase("Stopped", "web")
    assert space.pods("web") == {}
    assert space.get(space.workload("web"), "service")
    space.patch("web", desiredState="Running")
    space.await_phase("Running", "web")
    second = space.await_answer("web", starts=2)
    assert second["life"] != first["life"]

    # Restarted: stopped and started, once.
    space.patch("web", restartedAt="2030-01-01T00:00:00Z")
    third = space.await_answer("web", starts=3)
    assert third["life"] not in (first["life"], second["life"])
    space.await_phase("Running", "web")
    assert space.status("web")["restarts"] == 1

    # Archived: the record and the volume only.
    workload = space.workload("web")
    space.patch("web", desiredState="Archived")
    space.await_phase("Archived", "web")
    until(lambda: space.get(workload, "service"), {}, "the Service is gone")
    until(lambda: space.get(workload, "deployment"), {}, "the Deployment is gone")
    claims = space.kubectl("get", "persistentvolumeclaims", "--output=jsonpath={.items[*].status.phase}")
    assert claims == "Bound"
    history = [entry["to"] for entry in space.status("web")["history"]]
    assert history[-3:] == ["Stopping", "Stopped", "Archived"]
