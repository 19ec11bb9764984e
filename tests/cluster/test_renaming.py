"""Renames: the successor keeps what the predecessor had, and the two never have pods at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hopper.api.resources import Manifest
from hopper.controller.operator import Operator
from hopper.local import Cluster
from tests.cluster.support.convergence import seeded_random
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.operator_process import running_operator_process
from tests.cluster.support.workloads import FULL_SERVICE, Workloads, is_being_deleted, owner_names

WEB = {"templateRef": {"name": "web"}}
# Garbage collection may need this long to discover a new kind.
SLOW_SECONDS = 90


def successor(name: str, before: str, **spec: Any) -> Manifest:
    """Return the manifest of an instance that takes over from another one."""
    return manifest(name, "Orchestration", "shop", **WEB | {"renamedFrom": {"name": before}} | spec)


async def run_services(live: LiveInstances, workloads: Workloads, *names: str, **spec: Any) -> None:
    """Create a stack whose services have a volume each, and wait until they run."""
    await workloads.create_template(**FULL_SERVICE)
    await live.create("shop")
    await live.create_from(*(manifest(name, "Orchestration", "shop", **WEB | spec) for name in names))
    await live.until_phase("Running", *names)


async def test_a_renamed_instance_keeps_volume_history_and_restarts(
    live: LiveInstances, operator: Operator, workloads: Workloads
) -> None:
    names = ("shop-a", "shop-b", "shop-c")
    await run_services(live, workloads, "shop-a")
    await live.edit("shop-a", restartedAt="2026-01-01T00:00:00Z")
    await live.until(
        lambda: live.status("shop-a").get("restarts") == 1 and live.is_ready("shop-a"), "shop-a has restarted"
    )
    claim, phases = workloads.claim("shop-a"), live.phase_history("shop-a")

    for before, name in (("shop-a", "shop-b"), ("shop-b", "shop-c")):
        await live.create_from(successor(name, before))
        await live.until_phase("Running", name)
        await live.until_gone(before)
        kept_claim = workloads.claim("shop-a")
        assert kept_claim["metadata"]["uid"] == claim["metadata"]["uid"]
        assert owner_names(kept_claim) == [name]
        phases = [*phases, "Stopping", "Stopped"]
        assert live.phase_history(name)[: len(phases)] == phases
        assert live.phase_history(name)[len(phases) :] == ["Starting", "Running"], (
            "the successor starts after the history of its predecessor"
        )
        phases = live.phase_history(name)
        assert (live.status(name)["restarts"], live.status(name)["claimPrefix"]) == (1, "hopper-shop-a")
        assert {owned["metadata"]["name"] for owned in workloads.owned_objects(name).values()} == {
            f"hopper-{name}",
            "hopper-shop-a-data",
        }
        volumes = workloads.pod_template(name)["spec"]["volumes"]
        (volume,) = (volume for volume in volumes if "persistentVolumeClaim" in volume)
        assert volume["persistentVolumeClaim"]["claimName"] == "hopper-shop-a-data"
        await workloads.until_owned(before, seconds=SLOW_SECONDS)
    workloads.assert_pods_never_coexist(*names)
    assert list(workloads.objects("PersistentVolumeClaim")) == ["hopper-shop-a-data"]

    await live.create_from(manifest("shop-b", "Orchestration", "shop", **WEB))
    await live.until_phase("Running", "shop-b", "shop-c")
    assert workloads.objects("PersistentVolumeClaim").keys() == {
        "hopper-shop-a-data",
        "hopper-shop-b-data",
    }, "a new instance with an earlier name gets a claim of its own"


async def test_a_stopped_instance_stays_stopped_when_renamed(
    live: LiveInstances, operator: Operator, workloads: Workloads
) -> None:
    await run_services(live, workloads, "shop-a")
    await live.edit("shop-a", desiredState="Stopped")
    await live.until_phase("Stopped", "shop-a")
    uid = workloads.claim("shop-a")["metadata"]["uid"]
    pods = workloads.pod_uids_ever("shop-b")
    await live.create_from(successor("shop-b", "shop-a", desiredState="Stopped"))
    await live.until_gone("shop-a")
    await live.until_phase("Stopped", "shop-b")
    assert workloads.claim("shop-a")["metadata"]["uid"] == uid
    assert workloads.pod_uids_ever("shop-b") == pods == set()


@pytest.mark.parametrize("deleted", ["shop-a", "shop-b"])
async def test_the_volume_is_kept_if_either_instance_is_deleted_during_the_rename(
    live: LiveInstances, operator: Operator, workloads: Workloads, deleted: str
) -> None:
    """GitOps tools prune the predecessor, and users may cancel a rename by deleting the successor."""
    remaining = {"shop-a": "shop-b", "shop-b": "shop-a"}[deleted]
    await run_services(live, workloads, "shop-a")
    uid = workloads.claim("shop-a")["metadata"]["uid"]
    (pod,) = (pod["metadata"]["name"] for pod in workloads.pods("shop-a").values())
    await workloads.edit("Pod", pod, {"metadata": {"finalizers": ["tests.example.com/lingers"]}})
    await live.create_from(successor("shop-b", "shop-a"))
    await live.until(lambda: len(owner_names(workloads.claim("shop-a"))) == 2, "the claim has two owners")
    await live.until(lambda: is_being_deleted(workloads.objects("Pod")[pod]), "the pod is being deleted")
    await live.delete(deleted)
    await live.until_gone(deleted)
    operator.intake.requeue_all()
    await live.until(lambda: not len(operator.queue), "all instances are reconciled")
    assert len(workloads.objects("Pod")) == 1 or deleted == "shop-b", "the successor waits for the last pod"
    await workloads.edit("Pod", pod, {"metadata": {"finalizers": None}})
    await live.until_phase("Running", remaining, seconds=SLOW_SECONDS)
    await live.until(
        lambda: owner_names(workloads.claim("shop-a")) == [remaining], "the claim has one owner", SLOW_SECONDS
    )
    assert workloads.claim("shop-a")["metadata"]["uid"] == uid
    workloads.assert_pods_never_coexist("shop-a", "shop-b")


async def test_a_refused_rename_leaves_the_predecessor_running(
    live: LiveInstances, operator: Operator, workloads: Workloads
) -> None:
    await run_services(live, workloads, "shop-a", "shop-p")
    await live.create("other")
    await live.edit("shop-p", deletionProtection=True)
    rejected = {
        "scope": manifest("x-scope", "Event", "shop", renamedFrom={"name": "shop-a"}),
        "spec.parentRef.name": manifest("x-parent", "Orchestration", "other", renamedFrom={"name": "shop-a"}),
        "children": manifest("x-children", "Project", renamedFrom={"name": "shop"}),
        "protected": successor("x-protected", "shop-p"),
    }
    for word, body in rejected.items():
        await live.create_from(body)
        stalled = await live.until_reason(body["metadata"]["name"], "Stalled", "RenameRefused")
        assert word in stalled["message"]
    for name in ("shop-a", "shop-p"):
        assert live.phase(name) == "Running"
        assert len(workloads.pod_uids_ever(name)) == 1
    await live.edit("shop-p", deletionProtection=False)
    await live.until_phase("Running", "x-protected")
    await live.create_from(successor("shop-b", "shop-a"), successor("shop-c", "shop-a"))
    await live.until_gone("shop-a")
    await live.until(lambda: live.is_ready("shop-b") != live.is_ready("shop-c"), "one of the two successors is ready")
    refused = "shop-c" if live.is_ready("shop-b") else "shop-b"
    await live.until_reason(refused, "Ready", "RenameRefused")
    assert workloads.pod_uids_ever(refused) == set()


@pytest.mark.chaos
async def test_renames_complete_although_the_operator_is_killed(
    cluster: Cluster, live: LiveInstances, workloads: Workloads, tmp_path: Path
) -> None:
    rng, count = seeded_random("kills of renames"), 8
    old = [f"shop-a{number}" for number in range(count)]
    new = [f"shop-b{number}" for number in range(count)]
    async with running_operator(live.namespace):
        await run_services(live, workloads, *old)
    renames = list(zip(old, new, strict=True))
    claim_uids = {name: workloads.claim(name)["metadata"]["uid"] for name in old}
    recorders = [live.instances, *workloads.recorders.values()]
    event_count = lambda: sum(len(recorder.log) for recorder in recorders)  # noqa: E731
    is_done = lambda: not live.names & set(old) and all(map(live.is_ready, new))  # noqa: E731
    await live.create_from(*(successor(after, before) for before, after in renames))
    for _ in range(4):
        async with running_operator_process(live.namespace, cluster.kubeconfig, tmp_path / "operator.log") as killed:
            await killed.until_ready()
            kill_at = event_count() + rng.randint(0, 60)
            await live.until(
                lambda kill_at=kill_at: event_count() >= kill_at or is_done(), "watch events have arrived", SLOW_SECONDS
            )
            killed.kill()
    async with running_operator(live.namespace):
        await live.until(is_done, "all instances are renamed", SLOW_SECONDS)
        await live.until(
            lambda: all(owner_names(workloads.claim(before)) == [after] for before, after in renames),
            "each successor is the only owner of its claim",
        )
    for before, after in renames:
        assert workloads.claim(before)["metadata"]["uid"] == claim_uids[before]
        workloads.assert_pods_never_coexist(before, after)
        assert live.phase_history(after)[:3] == ["Created", "Starting", "Running"], "the history of the predecessor"
