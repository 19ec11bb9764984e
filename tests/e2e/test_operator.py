"""A killed operator, and the pods of instances that must survive it."""

from __future__ import annotations

from tests.e2e.release import RELEASE_NAMESPACE, InstanceNamespace, until


def test_a_killed_operator_continues_after_its_restart_and_restarts_no_instance(namespace: InstanceNamespace) -> None:
    namespace.template()
    namespace.instance("first")
    namespace.await_phase("Running", "first")
    (before,) = namespace.pods("first")
    (operator,) = namespace.release.pods("operator")

    names = [f"late-{number}" for number in range(3)]
    for name in names:
        namespace.instance(name, "crowd")
    namespace.instance("crowd", template=None)
    namespace.release.cluster.kubectl(
        *("delete", "pod", operator["metadata"]["name"], f"--namespace={RELEASE_NAMESPACE}"),
        *("--grace-period=0", "--force"),
    )
    namespace.patch("first", desiredState="Paused")

    namespace.await_phase("Running", "crowd", *names)
    namespace.await_phase("Paused", "first")
    (after,) = namespace.release.pods("operator")
    assert after["metadata"]["uid"] != operator["metadata"]["uid"]
    assert set(namespace.pods("first")) == {before}
    for name in names:
        until(lambda name=name: len(namespace.pods(name)), 1, f"{name} has one pod")  # type: ignore[misc]
        assert namespace.status(name)["restarts"] == 0
