"""An instance is renamed: nothing is lost, and never do both have pods, whoever is killed or deleted on the way."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from hopper.controller.operator import Operator
from hopper.local import Cluster
from tests.cluster.support.convergence import seeded
from tests.cluster.support.in_process_operator import running
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.operator_process import process
from tests.cluster.support.watch_recorder import Object
from tests.cluster.support.workloads import ALL, Workloads, is_ending

WEB = {"templateRef": {"name": "web"}}
SECONDS = 90


def newcomer(name: str, before: str, **spec: Any) -> Object:
    return manifest(name, "Orchestration", "shop", **WEB | {"renamedFrom": {"name": before}} | spec)


async def stack(live: LiveInstances, workloads: Workloads, *names: str, **spec: Any) -> None:
    """Have services of one stack running, each with a volume."""
    await workloads.template(**ALL)
    await live.create("shop")
    await live.create_from(*(manifest(name, "Orchestration", "shop", **WEB | spec) for name in names))
    await live.until_phase("Running", *names)


def claim_of(workloads: Workloads, instance: str) -> Object:
    return workloads.now("PersistentVolumeClaim")[f"hopper-{instance}-data"]


def owners(found: Object) -> list[str]:
    return [it["name"] for it in found["metadata"]["ownerReferences"]]


def assert_never_together(workloads: Workloads, *names: str) -> None:
    """Go through the log of the pods: no two of these instances had some at the same time."""
    alive: dict[str, set[str]] = defaultdict(set)
    for seen in workloads.follows["Pod"].log:
        instance, uid = seen.object["metadata"]["labels"]["hopper.dev/instance"], seen.object["metadata"]["uid"]
        (alive[instance].discard if seen.kind == "DELETED" else alive[instance].add)(uid)
        having = [name for name in names if alive[name]]
        assert len(having) <= 1, f"both have pods: {having}"


async def test_everything_is_kept_but_the_name(live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
    names = ("shop-a", "shop-b", "shop-c")
    await stack(live, workloads, "shop-a")
    await live.edit("shop-a", restartedAt="2026-01-01T00:00:00Z")
    await live.until(lambda: live.status("shop-a").get("restarts") == 1 and live.is_ready("shop-a"), "restarted")
    claim, steps = claim_of(workloads, "shop-a"), live.steps("shop-a")

    for before, name in (("shop-a", "shop-b"), ("shop-b", "shop-c")):
        await live.create_from(newcomer(name, before))
        await live.until_phase("Running", name)
        await live.until_gone(before)
        now = claim_of(workloads, "shop-a")
        assert now["metadata"]["uid"] == claim["metadata"]["uid"]
        assert owners(now) == [name]
        steps = [*steps, "Stopping", "Stopped"]
        assert live.steps(name)[: len(steps)] == steps
        assert live.steps(name)[len(steps) :] == ["Starting", "Running"], "the entry before is Created"
        steps = live.steps(name)
        assert (live.status(name)["restarts"], live.status(name)["claimPrefix"]) == (1, "hopper-shop-a")
        assert {it["metadata"]["name"] for kind, it in workloads.owned(name).items()} == {
            f"hopper-{name}",
            "hopper-shop-a-data",
        }
        (volume,) = (it for it in workloads.pod_template(name)["spec"]["volumes"] if "persistentVolumeClaim" in it)
        assert volume["persistentVolumeClaim"]["claimName"] == "hopper-shop-a-data"
        await workloads.until_owned(before, seconds=SECONDS)
    assert_never_together(workloads, *names)
    assert list(workloads.now("PersistentVolumeClaim")) == ["hopper-shop-a-data"]

    await live.create_from(manifest("shop-b", "Orchestration", "shop", **WEB))
    await live.until_phase("Running", "shop-b", "shop-c")
    assert {it["metadata"]["name"] for it in workloads.now("PersistentVolumeClaim").values()} == {
        "hopper-shop-a-data",
        "hopper-shop-b-data",
    }, "a new one of an earlier name is another one"


async def test_what_is_stopped_stays_so_under_its_new_name(
    live: LiveInstances, operator: Operator, workloads: Workloads
) -> None:
    await stack(live, workloads, "shop-a")
    await live.edit("shop-a", desiredState="Stopped")
    await live.until_phase("Stopped", "shop-a")
    uid = claim_of(workloads, "shop-a")["metadata"]["uid"]
    pods = workloads.pods_ever("shop-b")
    await live.create_from(newcomer("shop-b", "shop-a", desiredState="Stopped"))
    await live.until_gone("shop-a")
    await live.until_phase("Stopped", "shop-b")
    assert claim_of(workloads, "shop-a")["metadata"]["uid"] == uid
    assert workloads.pods_ever("shop-b") == pods == set()


@pytest.mark.parametrize("who", ["shop-a", "shop-b"])
async def test_whichever_is_deleted_on_the_way_the_volume_is_kept(
    live: LiveInstances, operator: Operator, workloads: Workloads, who: str
) -> None:
    """As a tool does that prunes what is no longer in its repository, or a user who has second thoughts."""
    left = {"shop-a": "shop-b", "shop-b": "shop-a"}[who]
    await stack(live, workloads, "shop-a")
    uid = claim_of(workloads, "shop-a")["metadata"]["uid"]
    (pod,) = (it["metadata"]["name"] for it in workloads.pods("shop-a").values())
    await workloads.edit("Pod", pod, {"metadata": {"finalizers": ["tests.example.com/lingers"]}})
    await live.create_from(newcomer("shop-b", "shop-a"))
    await live.until(lambda: len(owners(claim_of(workloads, "shop-a"))) == 2, "the claim has two owners")
    await live.until(lambda: is_ending(workloads.now("Pod")[pod]), "the pod is told to end")
    await live.delete(who)
    await live.until_gone(who)
    operator.intake.requeue_all()
    await live.until(lambda: not len(operator.queue), "everybody was looked at")
    assert len(workloads.now("Pod")) == 1 or who == "shop-b", "the newcomer waits for the last pod, whoever is gone"
    await workloads.edit("Pod", pod, {"metadata": {"finalizers": None}})
    await live.until_phase("Running", left, seconds=SECONDS)  # garbage collection has to know our kind first
    await live.until(lambda: owners(claim_of(workloads, "shop-a")) == [left], "one owner is left", SECONDS)
    assert claim_of(workloads, "shop-a")["metadata"]["uid"] == uid
    assert_never_together(workloads, "shop-a", "shop-b")


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
        assert len(workloads.pods_ever(name)) == 1
    await live.edit("shop-p", deletionProtection=False)
    await live.until_phase("Running", "x-protected")
    await live.create_from(newcomer("shop-b", "shop-a"), newcomer("shop-c", "shop-a"))
    await live.until_gone("shop-a")
    await live.until(lambda: live.is_ready("shop-b") != live.is_ready("shop-c"), "one of the two runs")
    loser = "shop-c" if live.is_ready("shop-b") else "shop-b"
    await live.until_reason(loser, "Ready", "RenameRefused")
    assert workloads.pods_ever(loser) == set()


@pytest.mark.chaos
async def test_killed_in_the_middle(
    cluster: Cluster, live: LiveInstances, workloads: Workloads, tmp_path: Path
) -> None:
    """The operator is killed again and again; the next one goes on wherever the last one was."""
    rng, count = seeded("kills of renames"), 8
    old, new = [f"shop-a{it}" for it in range(count)], [f"shop-b{it}" for it in range(count)]
    async with running(live.namespace):
        await stack(live, workloads, *old)
    pairs = list(zip(old, new, strict=True))
    uids = {name: claim_of(workloads, name)["metadata"]["uid"] for name in old}
    follows = [live.instances, *workloads.follows.values()]
    happened = lambda: sum(len(follow.log) for follow in follows)  # noqa: E731
    is_done = lambda: not live.names & set(old) and all(map(live.is_ready, new))  # noqa: E731
    await live.create_from(*(newcomer(now, name) for name, now in pairs))
    for _ in range(4):
        async with process(live.namespace, cluster.kubeconfig, tmp_path / "operator.log") as killed:
            await killed.until_ready()
            enough = happened() + rng.randint(0, 60)
            await live.until(lambda enough=enough: happened() >= enough or is_done(), "things have happened", SECONDS)
            killed.kill()
    async with running(live.namespace):
        await live.until(is_done, "all are renamed", SECONDS)
        await live.until(lambda: all(owners(claim_of(workloads, name)) == [now] for name, now in pairs), "one owner")
    for name, now in pairs:
        assert claim_of(workloads, name)["metadata"]["uid"] == uids[name]
        assert_never_together(workloads, name, now)
        assert live.steps(now)[:3] == ["Created", "Starting", "Running"], "the history of the old one"
