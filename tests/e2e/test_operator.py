"""The operator's pod comes and goes; the instances' pods do not."""

from __future__ import annotations

from tests.e2e.hopper import SYSTEM, Space, until


def test_the_operator_is_killed_in_the_middle_of_its_work(space: Space) -> None:
    space.template()
    space.instance("first")
    space.await_phase("Running", "first")
    (before,) = space.pods("first")
    (operator,) = space.system.pods("operator")

    names = [f"late-{number}" for number in range(3)]
    for name in names:
        space.instance(name, "crowd")
    space.instance("crowd", template=None)
    kill = ("delete", "pod", operator["metadata"]["name"], f"--namespace={SYSTEM}", "--grace-period=0", "--force")
    space.system.cluster.kubectl(*kill)
    space.patch("first", desiredState="Paused")

    space.await_phase("Running", "crowd", *names)
    space.await_phase("Paused", "first")
    (after,) = space.system.pods("operator")
    assert after["metadata"]["uid"] != operator["metadata"]["uid"]
    assert set(space.pods("first")) == {before}
    for name in names:
        until(lambda name=name: len(space.pods(name)), 1, f"{name} has one pod")  # type: ignore[misc]
        assert space.status(name)["restarts"] == 0
