"""A tree with real workloads: pause, rollout and deletion of the parent affect its children."""

from __future__ import annotations

from tests.e2e.release import InstanceNamespace, until

CHILDREN = ("shop-web", "shop-api")


def test_children_follow_pause_rollout_and_deletion_of_their_parent(namespace: InstanceNamespace) -> None:
    namespace.template(env=[{"name": "GREETING", "value": "hello"}])
    for child in CHILDREN:
        overrides = {"env": [{"name": "INSTANCE", "value": child}]}
        namespace.instance(child, "shop", overrides=overrides)
    namespace.instance("shop", template=None)
    namespace.await_phase("Running", "shop", *CHILDREN)
    for child in CHILDREN:
        namespace.await_answer(child, instance=child, greeting="hello")
    before = namespace.restarts_by_pod()

    # The children pause with their parent, and no container restarts.
    namespace.patch("shop", desiredState="Paused", reason="stocktaking")
    namespace.await_phase("Paused", "shop", *CHILDREN)
    for child in CHILDREN:
        until(lambda child=child: namespace.endpoints(child), [], f"{child} has no ready endpoint")  # type: ignore[misc]
        assert namespace.condition(child, "Ready")["reason"] == "InheritedFrom"
    assert namespace.restarts_by_pod() == before
    namespace.patch("shop", desiredState="Running")
    namespace.await_phase("Running", "shop", *CHILDREN)

    # A change of the template rolls out to all its instances and keeps their overrides.
    namespace.template(env=[{"name": "GREETING", "value": "welcome"}])
    for child in CHILDREN:
        namespace.await_answer(child, instance=child, greeting="welcome")
    namespace.await_phase("Running", *CHILDREN)

    def previous_pods() -> set[str]:
        return set(before) & {uid for child in CHILDREN for uid in namespace.pods(child)}

    until(previous_pods, set(), "the previous pods are gone")

    # Deletion removes all owned objects.
    namespace.kubectl("delete", "hopperinstance", "shop", "--wait=true", "--timeout=120s")
    kinds = "hopperinstances,deployments,services,configmaps,secrets,pods"

    def owned() -> str:
        return namespace.kubectl("get", kinds, "--selector=hopper.dev/instance", "--output=name") + namespace.kubectl(
            "get", "hopperinstances", "--output=name"
        )

    until(owned, "", "nothing is left of the tree")
