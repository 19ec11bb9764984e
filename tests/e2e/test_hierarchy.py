"""A tree with real workloads: what happens to the parent happens below it."""

from __future__ import annotations

from tests.e2e.hopper import Space, until

CHILDREN = ("shop-web", "shop-api")


def test_pause_rollout_and_deletion_go_down_the_tree(space: Space) -> None:
    space.template(env=[{"name": "GREETING", "value": "hello"}])
    for child in CHILDREN:
        overrides = {"env": [{"name": "INSTANCE", "value": child}]}
        space.instance(child, "shop", overrides=overrides)
    space.instance("shop", template=None)
    space.await_phase("Running", "shop", *CHILDREN)
    for child in CHILDREN:
        space.await_answer(child, instance=child, greeting="hello")
    before = space.everybodys_pods()

    # The parent pauses, and so do its children, without a process coming to harm.
    space.patch("shop", desiredState="Paused", reason="stocktaking")
    space.await_phase("Paused", "shop", *CHILDREN)
    for child in CHILDREN:
        until(lambda child=child: space.endpoints(child), [], f"{child} serves nobody")  # type: ignore[misc]
        assert space.condition(child, "Ready")["reason"] == "InheritedFrom"
    assert space.everybodys_pods() == before
    space.patch("shop", desiredState="Running")
    space.await_phase("Running", "shop", *CHILDREN)

    # A change of the template reaches all who use it, and overrides survive it.
    space.template(env=[{"name": "GREETING", "value": "welcome"}])
    for child in CHILDREN:
        space.await_answer(child, instance=child, greeting="welcome")
    space.await_phase("Running", *CHILDREN)

    def of_before() -> set[str]:
        return set(before) & {uid for child in CHILDREN for uid in space.pods(child)}

    until(of_before, set(), "the pods of before are gone")

    # Deletion takes everything along.
    space.kubectl("delete", "hopperinstance", "shop", "--wait=true", "--timeout=120s")
    left = "hopperinstances,deployments,services,configmaps,secrets,pods"

    def owned() -> str:
        return space.kubectl("get", left, "--selector=hopper.dev/instance", "--output=name") + space.kubectl(
            "get", "hopperinstances", "--output=name"
        )

    until(owned, "", "nothing is left of the tree")
