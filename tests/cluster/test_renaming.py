"""An instance is renamed: nothing is lost, and never do both have pods, whoever is killed or deleted on the way."""

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
SECONDS = 90


def newcomer(name: str, before: str, **spec: Any) -> Manifest:
    return manifest(name, "Orchestration", "shop", **WEB | {"renamedFrom": {"name": before}} | spec)


async def stack(live: LiveInstances, workloads: Workloads, *names: str, **spec: Any) -> None:
    """Have services of one stack running, each with a volume."""
    await workloads.create_template(**FULL_SERVICE)
    await live.create("shop")
    await live.create_from(*(manifest(name, "Orchestration", "shop", **WEB | spec) for name in names))
    await live.until_phase("Running", *names)


async def test_everything_is_kept_but_the_name(live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
    names = ("shop-a", "shop-b", "shop-c")
    await stack(live, workloads, "shop-a")
    await live.edit("shop-a", restartedAt="2026-01-01T00:00:00Z")
    await live.until(lambda: live.status("shop-a").get("restarts") == 1 and live.is_ready("shop-a"), "restarted")
    claim, steps = workloads.claim("shop-a"), live.phase_history("shop-a")

    for before, name in (("shop-a", "shop-b"), ("shop-b", "shop-c")):
        await live.create_from(newcomer(name, before))
        await live.until_phase("Running", name)
        await live.until_gone(before)
        now = workloads.claim("shop-a")
        assert now["metadata"]["uid"] == claim["metadata"]["uid"]
        assert owner_names(now) == [name]
        steps = [*steps, "Stopping", "Stopped"]
        assert live.phase_history(name)[: len(steps)] == steps
        assert live.phase_history(name)[len(steps) :] == ["Starting", "Running"], "the entry before is Created"
        steps = live.phase_history(name)
        assert (live.status(name)["restarts"], live.status(name)["claimPrefix"]) == (1, "hopper-shop-a")
        assert {it["metadata"]["name"] for kind, it in workloads.owned_objects(name).items()} == {
            f"hopper-{name}",
            "hopper-shop-a-data",
        }
        (volume,) = (it for it in workloads.pod_template(name)["spec"]["volumes"] if "persistentVolumeClaim" in it)
        assert volume["persistentVolumeClaim"]["claimName"] == "hopper-shop-a-data"
        await workloads.until_owned(before, seconds=SECONDS)
    workloads.assert_pods_never_coexist(*names)
    assert list(workloads.objects("PersistentVolumeClaim")) == ["hopper-shop-a-data"]

    await live.create_from(manifest("shop-b", "Orchestration", "shop", **WEB))
    await live.until_phase("Running", "shop-b", "shop-c")
    assert {it["metadata"]["name"] for it in workloads.objects("PersistentVolumeClaim").values()} == {
        "hopper-shop-a-data",
        "hopper-shop-b-data",
    }, "a new one of an earlier name is another one"


async def test_what_is_stopped_stays_so_under_its_new_name(
    live: LiveInstances, operator: Operator, workloads: Workloads
) -> None:
    await stack(live, workloads, "shop-a")
    await live.edit("shop-a", desiredState="Stopped")
    await live.until_phase("Stopped", "shop-a")
    uid = workloads.claim("shop-a")["metadata"]["uid"]
    pods = workloads.pod_uids_ever("shop-b")
    await live.create_from(newcomer("shop-b", "shop-a", desiredState="Stopped"))
    await live.until_gone("shop-a")
    await live.until_phase("Stopped", "shop-b")
    assert workloads.claim("shop-a")["metadata"]["uid"] == uid
    assert workloads.pod_uids_ever("shop-b") == pods == set()


@pytest.mark.parametrize("who", ["shop-a", "shop-b"])
async def test_whichever_is_deleted_on_the_way_the_volume_is_kept(
    live: LiveInstances, operator: Operator, workloads: Workloads, who: str
) -> None:
    """As a tool does that prunes what is no longer in its repository, or a user who has second thoughts."""
    left = {"shop-a": "shop-b", "shop-b": "shop-a"}[who]
    await stack(live, workloads, "shop-a")
    uid = workloads.claim("shop-a")["metadata"]["uid"]
    (pod,) = (it["metadata"]["name"] for it in workloads.pods("shop-a").values())
    await workloads.edit("Pod", pod, {"metadata": {"finalizers": ["tests.example.com/lingers"]}})
    await live.create_from(newcomer("shop-b", "shop-a"))
    await live.until(lambda: len(owner_names(workloads.claim("shop-a"))) == 2, "the claim has two owners")
    await live.until(lambda: is_being_deleted(workloads.objects("Pod")[pod]), "the pod is told to end")
    await live.delete(who)
    await live.until_gone(who)
    operator.intake.requeue_all()
    await live.until(lambda: not len(operator.queue), "everybody was looked at")
    assert len(workloads.objects("Pod")) == 1 or who == "shop-b", "the newcomer waits for the last pod, whoever is gone"
    await workloads.edit("Pod", pod, {"metadata": {"finalizers": None}})
    await live.until_phase("Running", left, seconds=SECONDS)  # garbage collection has to know our kind first
    await live.until(lambda: owner_names(workloads.claim("shop-a")) == [left], "one owner is left", SECONDS)
    assert workloads.claim("shop-a")["metadata"]["uid"] == uid
    workloads.assert_pods_never_coexist("shop-a", "shop-b")


async def test_what_is_refused_stops_nobody(live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
    await stack(live, workloads, "shop-a", "shop-p")
    await live.create("other")
    await live.edit("shop-p", deletionProtection=True)
    wrong = {
        "scope": manifest("x-scope", "Event", "shop", renamedFrom={"name": "shop-a"}),
        "below": manifest("x-parent", "Orchestration", "other", renamedFrom={"name": "shop-a"}),
        "children": manifest("x-children", "Project", renamedFrom={"name": "shop"}),
        "protected": newcomer("x-protected", "shop-p"),
    }
    for word, body in wrong.items():
        await live.create_from(body)
        refused = await live.until_reason(body["metadata"]["name"], "Stalled", "RenameRefused")
        assert word in refused["message"]
    for name in ("shop-a", "shop-p"):
        assert live.phase(name) == "Running"
        assert len(workloads.pod_uids_ever(name)) == 1
    await live.edit("shop-p", deletionProtection=False)
    await live.until_phase("Running", "x-protected")
    await live.create_from(newcomer("shop-b", "shop-a"), newcomer("shop-c", "shop-a"))
    await live.until_gone("shop-a")
    await live.until(lambda: live.is_ready("shop-b") != live.is_ready("shop-c"), "one of the two runs")
    loser = "shop-c" if live.is_ready("shop-b") else "shop-b"
    await live.until_reason(loser, "Ready", "RenameRefused")
    assert workloads.pod_uids_ever(loser) == set()


@pytest.mark.chaos
async def test_killed_in_the_middle(
    cluster: Cluster, live: LiveInstances, workloads: Workloads, tmp_path: Path
) -> None:
    """The operator is killed again and again; the next one goes on wherever the last one was."""
    rng, count = seeded_random("kills of renames"), 8
    old, new = [f"shop-a{it}" for it in range(count)], [f"shop-b{it}" for it in range(count)]
    async with running_operator(live.namespace):
        await stack(live, workloads, *old)
    pairs = list(zip(old, new, strict=True))
    uids = {name: workloads.claim(name)["metadata"]["uid"] for name in old}
    follows = [live.instances, *workloads.recorders.values()]
    happened = lambda: sum(len(follow.log) for follow in follows)  # noqa: E731
    is_done = lambda: not live.names & set(old) and all(map(live.is_ready, new))  # noqa: E731
    await live.create_from(*(newcomer(now, name) for name, now in pairs))
    for _ in range(4):
        async with running_operator_process(live.namespace, cluster.kubeconfig, tmp_path / "operator.log") as killed:
            await killed.until_ready()
            enough = happened() + rng.randint(0, 60)
            await live.until(lambda enough=enough: happened() >= enough or is_done(), "things have happened", SECONDS)
            killed.kill()
    async with running_operator(live.namespace):
        await live.until(is_done, "all are renamed", SECONDS)
        await live.until(lambda: all(owner_names(workloads.claim(name)) == [now] for name, now in pairs), "one owner")
    for name, now in pairs:
        assert workloads.claim(name)["metadata"]["uid"] == uids[name]
        workloads.assert_pods_never_coexist(name, now)
        assert live.phase_history(now)[:3] == ["Created", "Starting", "Running"], "the history of the old one"
