"""What others do to the objects of an instance is put right; what belongs to others is left alone, and reported."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections import Counter
from typing import Any

from hopper.api.names import LABEL_INSTANCE, LABEL_MANAGED_BY, MANAGED_BY
from hopper.api.resources import Manifest
from hopper.controller.operator import Operator
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import MERGE_PATCH, LiveInstances, manifest
from tests.cluster.support.request_counter import RequestCounter
from tests.cluster.support.workloads import FULL_SERVICE, Workloads

JSON_PATCH = "application/json-patch+json"
KINDS = ("ConfigMap", "Deployment", "Ingress", "PersistentVolumeClaim", "Secret", "Service")
WEB = {"templateRef": {"name": "web"}}


def name_of(kind: str, instance: str = "a") -> str:
    return f"hopper-{instance}-data" if kind == "PersistentVolumeClaim" else f"hopper-{instance}"


async def run(live: LiveInstances, workloads: Workloads, *names: str) -> None:
    """Have instances running that own one object of each kind."""
    await workloads.create_template(**FULL_SERVICE)
    await live.create_from(*(manifest(name, **WEB) for name in names))
    await live.until_phase("Running", *names)
    for name in names:
        await workloads.until_owned(name, *KINDS)
    await workloads.until_template_users(*names)


class Watched:
    """An object that somebody is going to change."""

    def __init__(self, workloads: Workloads, kind: str, instance: str = "a") -> None:
        self.before = workloads.owned_objects(instance)[kind]
        self.name = self.before["metadata"]["name"]
        self._workloads = workloads
        self._kind = kind
        self._follow = workloads.recorders[kind]
        self._since = len(self._follow.log)

    async def edit(self, patch: object) -> None:
        """Change it: a dictionary is merged, a list is a JSON patch."""
        content_type = JSON_PATCH if isinstance(patch, list) else MERGE_PATCH
        await self._workloads.edit(self._kind, self.name, patch, content_type)

    async def until_healed(self) -> None:
        """Wait until it has been changed, and is as it was before."""
        try:
            await self._workloads.live.until(self._is_healed, f"{self._kind} {self.name} is as before")
        except AssertionError as error:
            now = self._follow.objects.get(self.name)
            raise AssertionError(f"{error}\n{json.dumps(now and essence(now), indent=1)}") from None

    def _is_healed(self) -> bool:
        news = [it for it in self._follow.log[self._since :] if it.name == self.name]
        changed = any(it.event_type == "DELETED" or essence(it.object) != essence(self.before) for it in news)
        now = self._follow.objects.get(self.name)
        return changed and now is not None and essence(now) == essence(self.before)


def essence(it: Manifest) -> Manifest:
    """Return what the operator answers for."""
    found = {key: value for key, value in it.items() if key not in ("metadata", "status", "spec")}
    allocated = ("clusterIP", "clusterIPs", "volumeName")
    spec = {key: value for key, value in it.get("spec", {}).items() if key not in allocated}
    metadata = it["metadata"]
    return found | {"spec": spec, "labels": metadata.get("labels"), "owners": metadata.get("ownerReferences")}


def merge(**patch: Any) -> Manifest:
    return patch


def add(path: str, value: object) -> list[Manifest]:
    return [{"op": "add", "path": path, "value": value}]


POD = "/spec/template/spec"
# What somebody does to an object: a merge patch, or a JSON patch that adds something to a list.
TAMPERING: dict[str, tuple[str, object]] = {
    "data changed": ("ConfigMap", merge(data={"-etc-web.conf": "listen 81"})),
    "data added": ("ConfigMap", merge(data={"more": "x"})),
    "secret changed": ("Secret", merge(data={"TOKEN": b64encode(b"x").decode()})),
    "secret added": ("Secret", merge(stringData={"MORE": "x"})),
    "port changed": ("Service", [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 81}]),
    "port added": ("Service", add("/spec/ports/-", {"name": "more", "port": 81})),
    "selector changed": ("Service", merge(spec={"selector": {LABEL_INSTANCE: "b"}})),
    "selector added": ("Service", merge(spec={"selector": {"more": "x"}})),
    "replicas changed": ("Deployment", merge(spec={"replicas": 3})),
    "image changed": ("Deployment", [{"op": "replace", "path": f"{POD}/containers/0/image", "value": "web:9"}]),
    "variable added": ("Deployment", add(f"{POD}/containers/0/env/-", {"name": "MORE", "value": "x"})),
    "variable changed": ("Deployment", [{"op": "replace", "path": f"{POD}/containers/0/env/0/value", "value": "x"}]),
    "sidecar added": ("Deployment", add(f"{POD}/containers/-", {"name": "more", "image": "web:9"})),
    "volume added": ("Deployment", add(f"{POD}/volumes/-", {"name": "more", "emptyDir": {}})),
    "security weakened": (
        "Deployment",
        merge(spec={"template": {"spec": {"securityContext": {"runAsNonRoot": False}}}}),
    ),
    "host changed": ("Ingress", [{"op": "replace", "path": "/spec/rules/0/host", "value": "x.example.com"}]),
    "rule added": ("Ingress", add("/spec/rules/-", {"host": "x.example.com"})),
}
STRIPPING: dict[str, Manifest] = {
    "owner": {"ownerReferences": None},
    "all labels": {"labels": None},
    "the label that it is watched by": {"labels": {LABEL_MANAGED_BY: None}},
    "the name of the instance": {"labels": {LABEL_INSTANCE: None}},
    "owner and labels": {"labels": None, "ownerReferences": None},
    "a common label": {"labels": {"app.kubernetes.io/name": None}},
    "its label for another": {"labels": {LABEL_INSTANCE: "other"}},
}


class TestHealing:
    async def test_tampering(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        """Each object of an instance is changed in another way; there are instances enough for all the ways."""
        turns: Counter[str] = Counter()
        watched = []
        names = [f"a-{number}" for number in range(max(Counter(kind for kind, _ in TAMPERING.values()).values()))]
        await run(live, workloads, *names)
        for kind, patch in TAMPERING.values():
            watched.append((Watched(workloads, kind, names[turns[kind]]), patch))
            turns[kind] += 1
        await asyncio.gather(*(it.edit(patch) for it, patch in watched))
        for it, _ in watched:
            await it.until_healed()
        await live.until(lambda: all(map(live.is_ready, names)), "all are ready")
        for name in names:
            assert live.phase_history(name) == ["Created", "Starting", "Running"]
            await workloads.until_pods(name, 1)

    async def test_stripping(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        names = {what: f"a-{number}" for number, what in enumerate(STRIPPING)}
        await run(live, workloads, *names.values(), "other")
        pods = {name: workloads.pods(name).keys() for name in names.values()}
        watched = [(kind, what, Watched(workloads, kind, name)) for what, name in names.items() for kind in KINDS]
        await asyncio.gather(*(it.edit({"metadata": STRIPPING[what]}) for _, what, it in watched))
        for kind, _, it in watched:
            await it.until_healed()
            assert workloads.objects(kind)[it.name]["metadata"]["uid"] == it.before["metadata"]["uid"], (
                "the same object"
            )
        await live.until(lambda: all(map(live.is_ready, [*names.values(), "other"])), "all are ready")
        assert {name: workloads.pods(name).keys() for name in names.values()} == pods

    async def test_stripped_and_changed_at_once(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await run(live, workloads, "a", "b")
        a, b = Watched(workloads, "ConfigMap", "a"), Watched(workloads, "ConfigMap", "b")
        await a.edit({"metadata": {"labels": None}, "data": {"-etc-web.conf": "listen 81", "more": "x"}})
        await b.edit({"metadata": {"labels": None, "ownerReferences": None}, "data": {"more": "x"}})
        await a.until_healed()
        await b.until_healed()
        await live.until(lambda: live.is_ready("a") and live.is_ready("b"), "ready")

    async def test_while_the_operator_is_away(self, live: LiveInstances, workloads: Workloads) -> None:
        async with running_operator(live.namespace):
            await run(live, workloads, "a")
        config, service, secret, deployment, ingress = (
            Watched(workloads, kind) for kind in ("ConfigMap", "Service", "Secret", "Deployment", "Ingress")
        )
        await config.edit({"data": {"more": "x"}})
        await service.edit({"metadata": {"labels": None}})
        await workloads.delete("Secret", "hopper-a")
        await deployment.edit({"spec": {"replicas": 2}, "metadata": {"ownerReferences": None}})
        await ingress.edit({"metadata": {"labels": {LABEL_INSTANCE: None}}})
        async with running_operator(live.namespace):
            for it in (config, service, secret, deployment, ingress):
                await it.until_healed()

    async def test_deletion(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        names = {kind: f"a-{number}" for number, kind in enumerate(KINDS) if kind != "PersistentVolumeClaim"}
        await run(live, workloads, *names.values())
        watched = {kind: Watched(workloads, kind, name) for kind, name in names.items()}
        await asyncio.gather(*(workloads.delete(kind, it.name) for kind, it in watched.items()))
        for kind, it in watched.items():
            await it.until_healed()
            assert workloads.objects(kind)[it.name]["metadata"]["uid"] != it.before["metadata"]["uid"]
        await live.until(lambda: all(map(live.is_ready, names.values())), "all are ready")
        assert all(live.phase_history(name) == ["Created", "Starting", "Running"] for name in names.values())

    async def test_deletion_of_a_claim(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        """Kubernetes keeps what is in use until the pods are gone; then there is a new one."""
        await run(live, workloads, "a")
        uid = workloads.owned_objects("a")["PersistentVolumeClaim"]["metadata"]["uid"]
        await workloads.delete("PersistentVolumeClaim", "hopper-a-data")
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        await live.until(
            lambda: (
                workloads.owned_objects("a").get("PersistentVolumeClaim", {}).get("metadata", {}).get("uid")
                not in (uid, None)
            ),
            "a new claim",
        )

    async def test_what_others_add_in_places_of_their_own_stays(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await run(live, workloads, "a")
        requests = await RequestCounter.start(live)
        note = {"metadata": {"annotations": {"example.com/note": "x"}, "labels": {"example.com/team": "blue"}}}
        for kind in KINDS:
            await workloads.edit(kind, name_of(kind), note)
        moment = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}  # kubectl rollout restart
        await workloads.edit("Deployment", "hopper-a", {"spec": {"template": {"metadata": {"annotations": moment}}}})
        larger = {"spec": {"resources": {"requests": {"storage": "1Mi"}}}}
        await workloads.edit("PersistentVolumeClaim", "hopper-a-data", larger)
        await live.edit("a", reason="look")
        await live.until(lambda: live.is_observed("a") and not len(operator.queue), "looked at")
        found = await requests.counts()
        assert not [key for key in found if key[0] == "APPLY"]
        assert all(
            it["metadata"]["labels"]["example.com/team"] == "blue" for it in workloads.owned_objects("a").values()
        )
        assert moment.items() <= workloads.pod_template("a")["metadata"]["annotations"].items()
        await live.until(lambda: len(workloads.pod_uids_ever("a")) == 2 and live.is_ready("a"), "restarted by somebody")

    async def test_heals_once_and_then_rests(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await run(live, workloads, "a")
        deployment = Watched(workloads, "Deployment")
        requests = await RequestCounter.start(live)
        await deployment.edit({"metadata": {"ownerReferences": None}})
        await deployment.until_healed()
        await live.until(lambda: not len(operator.queue), "nothing to do")
        found = await requests.counts()
        assert found == {("PATCH", "deployments"): 1, ("APPLY", "deployments"): 1}


class TestWhatIsRefused:
    async def test_keeps_nothing_else_from_being_healed(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await run(live, workloads, "a")
        config = Watched(workloads, "ConfigMap")
        await config.edit({"data": {"-etc-web.conf": "listen 81"}, "immutable": True})
        refused = await live.until_reason("a", "Stalled", "WriteRefused")
        assert "ConfigMap" in refused["message"]
        assert "hopper-a" in refused["message"]
        assert "immutable" in refused["message"]
        later = {kind: Watched(workloads, kind) for kind in ("Secret", "Service", "Deployment", "Ingress")}
        await workloads.delete("Secret", "hopper-a")
        for what in ("selector changed", "replicas changed", "rule added"):
            kind, patch = TAMPERING[what]
            await later[kind].edit(patch)
        for it in later.values():
            await it.until_healed()
        pods = (await workloads.until_pods("a", 1)).keys()  # of the three that somebody wanted, any one may be left
        await live.edit("a", restartedAt="2026-01-01T00:00:00Z")
        await live.until_reason("a", "Ready", "WriteRefused")
        assert live.phase_history("a") == ["Created", "Starting", "Running"], (
            "nothing is stopped that could not start again"
        )
        assert workloads.pods("a").keys() >= pods
        await live.edit("a", desiredState="Stopped", restartedAt=None)
        await live.until_phase("Stopped", "a")
        await workloads.delete("ConfigMap", "hopper-a")
        await config.until_healed()
        await live.edit("a", desiredState="Running")
        await live.until(lambda: live.is_ready("a"), "ready")

    async def test_of_a_change_keeps_what_runs(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        """A claim that cannot grow; so nothing of the change is to reach the pods."""
        await run(live, workloads, "a")
        before = workloads.pod_template("a")
        larger = [{"target": "/data", "size": "1Gi"}]
        await workloads.edit_template(image="web:2", ports=[{"containerPort": 81}], volumes=larger)
        refused = await live.until_reason("a", "Stalled", "WriteRefused")
        assert "hopper-a-data" in refused["message"]
        await workloads.delete("Service", "hopper-a")
        await live.until(lambda: "Service" in workloads.owned_objects("a"), "there is a Service again")
        assert workloads.pod_template("a") == before
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        await workloads.until_pods("a", 0)
        assert workloads.pod_template("a") == before
        await workloads.edit_template(volumes=FULL_SERVICE["volumes"])
        await live.edit("a", desiredState="Running")
        await live.until(lambda: live.is_ready("a"), "ready")
        assert workloads.container("a")["image"] == "web:2"


STRANGERS: dict[str, Manifest] = {
    "ConfigMap": {"data": {"theirs": "x"}},
    "Secret": {"data": {"theirs": "eA=="}},
    "Service": {"spec": {"selector": {"app": "theirs"}, "ports": [{"name": "theirs", "port": 99}]}},
    "Deployment": {
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "theirs"}},
            "template": {
                "metadata": {"labels": {"app": "theirs"}},
                "spec": {"containers": [{"name": "theirs", "image": "web:1"}]},
            },
        }
    },
    "Ingress": {"spec": {"rules": [{"host": "theirs.example.com"}]}},
    "PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    },
}


class TestStrangers:
    async def test_are_left_alone_and_reported(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**FULL_SERVICE)
        names = {kind: f"a-{number}" for number, kind in enumerate(STRANGERS)}
        before = {}
        for kind, name in names.items():
            theirs = {"kind": kind, "metadata": {"name": name_of(kind, name)}, **STRANGERS[kind]}
            before[kind] = await workloads.create(theirs)
        await live.create_from(*(manifest(name, **WEB) for name in names.values()))
        for kind, name in names.items():
            await live.until_reason(name, "Stalled", "WriteRefused")
            told = f'{kind} "{name_of(kind, name)}" already exists and does not belong to this instance'
            assert told in live.condition(name, "Stalled")["message"]
            assert not live.is_ready(name)
            now = workloads.objects(kind)[name_of(kind, name)]
            assert essence(now) == essence(before[kind])
            assert now["metadata"]["uid"] == before[kind]["metadata"]["uid"]
            assert "hopper-operator" not in str(now["metadata"]["managedFields"])
            assert not workloads.pods(name), "nothing is started that is not whole"
        for kind, name in names.items():
            await workloads.delete(kind, name_of(kind, name))
        await live.until_phase("Running", *names.values(), seconds=60)
        for name in names.values():
            await live.until(lambda name=name: live.is_ready(name), f"{name} is ready")
            await workloads.until_owned(name, *KINDS)

    async def test_a_copy_is_left_alone(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        """It has our labels, but nobody's name for it; and without the label of an instance it confuses nobody."""
        await run(live, workloads, "a")
        original = workloads.owned_objects("a")["ConfigMap"]
        copies = {"copy": original["metadata"]["labels"], "unnamed": {LABEL_MANAGED_BY: MANAGED_BY}}
        for name, labels in copies.items():
            await workloads.create({"kind": "ConfigMap", "metadata": {"name": name, "labels": labels}})
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        async with running_operator(live.namespace):  # starts in spite of what nobody knows
            await live.edit("a", desiredState="Terminated")
            await live.until_phase("Terminated", "a")
            await workloads.until_owned("a", "ConfigMap", "PersistentVolumeClaim")
        assert workloads.objects("ConfigMap").keys() >= copies.keys()

    async def test_of_another_instance(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        """Two names may lead to the same object: nobody takes it from the other."""
        await workloads.create_template(ports=[{"containerPort": 80}])
        await live.create("a", **WEB)
        await live.create("a-b", **WEB)
        await live.create("a-b-c", "Orchestration", "a-b", **WEB)
        await live.until_phase("Running", "a", "a-b", "a-b-c")
        names = {workloads.deployment(it)["metadata"]["name"] for it in ("a", "a-b", "a-b-c")}
        assert len(names) == 3
