"""Drift: foreign changes of owned objects are reverted, and objects that belong to others are kept and reported."""

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
from tests.cluster.support.workloads import FULL_SERVICE, Workloads, own_domain

JSON_PATCH = "application/json-patch+json"
KINDS = ("ConfigMap", "Deployment", "Ingress", "PersistentVolumeClaim", "Secret", "Service")
WEB = {"templateRef": {"name": "web"}}


def object_name(kind: str, instance: str = "a") -> str:
    return f"hopper-{instance}-data" if kind == "PersistentVolumeClaim" else f"hopper-{instance}"


async def create_running(live: LiveInstances, workloads: Workloads, *names: str) -> None:
    """Create instances that own one object of each kind, and wait until they run."""
    await workloads.create_template(**FULL_SERVICE)
    await live.create_from(*(manifest(name, **WEB, overrides=own_domain(name)) for name in names))
    await live.until_phase("Running", *names)
    for name in names:
        await workloads.until_owned(name, *KINDS)
    await workloads.until_template_users(*names)


class ChangedObject:
    """An owned object that the test changes as another field manager."""

    def __init__(self, workloads: Workloads, kind: str, instance: str = "a") -> None:
        self.before = workloads.owned_objects(instance)[kind]
        self.name = self.before["metadata"]["name"]
        self._workloads = workloads
        self._kind = kind
        self._recorder = workloads.recorders[kind]
        self._since = len(self._recorder.log)

    async def edit(self, patch: object) -> None:
        """Change the object by a merge patch (a dictionary) or a JSON patch (a list)."""
        content_type = JSON_PATCH if isinstance(patch, list) else MERGE_PATCH
        await self._workloads.edit(self._kind, self.name, patch, content_type)

    async def until_reverted(self) -> None:
        """Wait until the object has been changed and is again as before the change."""
        try:
            await self._workloads.live.until(self._is_reverted, f"{self._kind} {self.name} is as before")
        except AssertionError as error:
            now = self._recorder.objects.get(self.name)
            raise AssertionError(f"{error}\n{json.dumps(now and comparable(now), indent=1)}") from None

    def _is_reverted(self) -> bool:
        events = [event for event in self._recorder.log[self._since :] if event.name == self.name]
        changed = any(
            event.event_type == "DELETED" or comparable(event.object) != comparable(self.before) for event in events
        )
        now = self._recorder.objects.get(self.name)
        return changed and now is not None and comparable(now) == comparable(self.before)


def comparable(manifest: Manifest) -> Manifest:
    """Return the fields of an object that the operator keeps."""
    kept = {key: value for key, value in manifest.items() if key not in ("metadata", "status", "spec")}
    allocated = ("clusterIP", "clusterIPs", "volumeName")
    spec = {key: value for key, value in manifest.get("spec", {}).items() if key not in allocated}
    metadata = manifest["metadata"]
    return kept | {"spec": spec, "labels": metadata.get("labels"), "owners": metadata.get("ownerReferences")}


def merge(**patch: Any) -> Manifest:
    return patch


def add(path: str, value: object) -> list[Manifest]:
    return [{"op": "add", "path": path, "value": value}]


POD = "/spec/template/spec"
# Changes by another field manager: a merge patch, or a JSON patch that adds to a list.
FOREIGN_CHANGES: dict[str, tuple[str, object]] = {
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
REMOVALS: dict[str, Manifest] = {
    "owner": {"ownerReferences": None},
    "all labels": {"labels": None},
    "the label by which it is watched": {"labels": {LABEL_MANAGED_BY: None}},
    "the name of the instance": {"labels": {LABEL_INSTANCE: None}},
    "owner and labels": {"labels": None, "ownerReferences": None},
    "a common label": {"labels": {"app.kubernetes.io/name": None}},
    "the name of another instance": {"labels": {LABEL_INSTANCE: "other"}},
}


class TestReverting:
    async def test_every_foreign_change_is_reverted(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        """Every object is changed in one way only, so there are several instances."""
        used: Counter[str] = Counter()
        changed_objects = []
        names = [f"a-{number}" for number in range(max(Counter(kind for kind, _ in FOREIGN_CHANGES.values()).values()))]
        await create_running(live, workloads, *names)
        for kind, patch in FOREIGN_CHANGES.values():
            changed_objects.append((ChangedObject(workloads, kind, names[used[kind]]), patch))
            used[kind] += 1
        await asyncio.gather(*(changed.edit(patch) for changed, patch in changed_objects))
        for changed, _ in changed_objects:
            await changed.until_reverted()
        await live.until(lambda: all(map(live.is_ready, names)), "all instances are ready")
        for name in names:
            assert live.phase_history(name) == ["Created", "Starting", "Running"]
            await workloads.until_pods(name, 1)

    async def test_removed_owners_and_labels_are_restored(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        names = {removal: f"a-{number}" for number, removal in enumerate(REMOVALS)}
        await create_running(live, workloads, *names.values(), "other")
        pods = {name: workloads.pods(name).keys() for name in names.values()}
        changed_objects = [
            (kind, removal, ChangedObject(workloads, kind, name)) for removal, name in names.items() for kind in KINDS
        ]
        await asyncio.gather(
            *(changed.edit({"metadata": REMOVALS[removal]}) for _, removal, changed in changed_objects)
        )
        for kind, _, changed in changed_objects:
            await changed.until_reverted()
            assert workloads.objects(kind)[changed.name]["metadata"]["uid"] == changed.before["metadata"]["uid"]
        await live.until(lambda: all(map(live.is_ready, [*names.values(), "other"])), "all instances are ready")
        assert {name: workloads.pods(name).keys() for name in names.values()} == pods

    async def test_removed_labels_and_changed_data_are_restored_together(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a", "b")
        a, b = ChangedObject(workloads, "ConfigMap", "a"), ChangedObject(workloads, "ConfigMap", "b")
        await a.edit({"metadata": {"labels": None}, "data": {"-etc-web.conf": "listen 81", "more": "x"}})
        await b.edit({"metadata": {"labels": None, "ownerReferences": None}, "data": {"more": "x"}})
        await a.until_reverted()
        await b.until_reverted()
        await live.until(lambda: live.is_ready("a") and live.is_ready("b"), "a and b are ready")

    async def test_changes_made_while_the_operator_is_away_are_reverted(
        self, live: LiveInstances, workloads: Workloads
    ) -> None:
        async with running_operator(live.namespace):
            await create_running(live, workloads, "a")
        config, service, secret, deployment, ingress = (
            ChangedObject(workloads, kind) for kind in ("ConfigMap", "Service", "Secret", "Deployment", "Ingress")
        )
        await config.edit({"data": {"more": "x"}})
        await service.edit({"metadata": {"labels": None}})
        # A Secret that is deleted now would get a new key, and with it the pods a new checksum.
        await secret.edit({"data": {"TOKEN": None, "MORE": "eA=="}})
        await deployment.edit({"spec": {"replicas": 2}, "metadata": {"ownerReferences": None}})
        await ingress.edit({"metadata": {"labels": {LABEL_INSTANCE: None}}})
        async with running_operator(live.namespace):
            for changed in (config, service, secret, deployment, ingress):
                await changed.until_reverted()

    async def test_deleted_objects_are_created_again(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        names = {kind: f"a-{number}" for number, kind in enumerate(KINDS) if kind != "PersistentVolumeClaim"}
        await create_running(live, workloads, *names.values())
        changed_objects = {kind: ChangedObject(workloads, kind, name) for kind, name in names.items()}
        await asyncio.gather(*(workloads.delete(kind, deleted.name) for kind, deleted in changed_objects.items()))
        for kind, deleted in changed_objects.items():
            await deleted.until_reverted()
            assert workloads.objects(kind)[deleted.name]["metadata"]["uid"] != deleted.before["metadata"]["uid"]
        await live.until(lambda: all(map(live.is_ready, names.values())), "all instances are ready")
        assert all(live.phase_history(name) == ["Created", "Starting", "Running"] for name in names.values())

    async def test_a_deleted_claim_is_replaced_once_no_pod_uses_it(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        """Kubernetes deletes a claim only after the pods that use it."""
        await create_running(live, workloads, "a")
        uid = workloads.owned_objects("a")["PersistentVolumeClaim"]["metadata"]["uid"]
        await workloads.delete("PersistentVolumeClaim", "hopper-a-data")
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        await live.until(
            lambda: (
                workloads.owned_objects("a").get("PersistentVolumeClaim", {}).get("metadata", {}).get("uid")
                not in (uid, None)
            ),
            "a has a new claim",
        )

    async def test_foreign_metadata_and_a_rollout_restart_are_kept(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a")
        requests = await RequestCounter.start(live)
        foreign_metadata = {
            "metadata": {"annotations": {"example.com/note": "x"}, "labels": {"example.com/team": "blue"}}
        }
        for kind in KINDS:
            await workloads.edit(kind, object_name(kind), foreign_metadata)
        restarted_at = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}  # kubectl rollout restart
        await workloads.edit(
            "Deployment", "hopper-a", {"spec": {"template": {"metadata": {"annotations": restarted_at}}}}
        )
        larger = {"spec": {"resources": {"requests": {"storage": "1Mi"}}}}
        await workloads.edit("PersistentVolumeClaim", "hopper-a-data", larger)
        await live.edit("a", reason="requeue")
        await live.until(lambda: live.is_observed("a") and not len(operator.queue), "a is reconciled")
        counts = await requests.counts()
        assert not [key for key in counts if key[0] == "APPLY"]
        assert all(
            owned["metadata"]["labels"]["example.com/team"] == "blue" for owned in workloads.owned_objects("a").values()
        )
        assert restarted_at.items() <= workloads.pod_template("a")["metadata"]["annotations"].items()
        await live.until(lambda: len(workloads.pod_uids_ever("a")) == 2 and live.is_ready("a"), "the pod was replaced")

    async def test_a_revert_costs_one_apply_and_no_further_write(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a")
        deployment = ChangedObject(workloads, "Deployment")
        requests = await RequestCounter.start(live)
        await deployment.edit({"metadata": {"ownerReferences": None}})
        await deployment.until_reverted()
        await live.until(lambda: not len(operator.queue), "the queue is empty")
        counts = await requests.counts()
        assert counts == {("PATCH", "deployments"): 1, ("APPLY", "deployments"): 1}


class TestRejectedWrites:
    async def test_a_rejected_write_does_not_keep_other_objects_from_being_reverted(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, "a")
        config = ChangedObject(workloads, "ConfigMap")
        await config.edit({"data": {"-etc-web.conf": "listen 81"}, "immutable": True})
        refused = await live.until_reason("a", "Stalled", "WriteRefused")
        assert "ConfigMap" in refused["message"]
        assert "hopper-a" in refused["message"]
        assert "immutable" in refused["message"]
        later = {kind: ChangedObject(workloads, kind) for kind in ("Secret", "Service", "Deployment", "Ingress")}
        await workloads.delete("Secret", "hopper-a")
        for change in ("selector changed", "replicas changed", "rule added"):
            kind, patch = FOREIGN_CHANGES[change]
            await later[kind].edit(patch)
        for changed in later.values():
            await changed.until_reverted()
        pods = (await workloads.until_pods("a", 1)).keys()  # any one of the three pods may be left
        await live.edit("a", restartedAt="2026-01-01T00:00:00Z")
        await live.until_reason("a", "Ready", "WriteRefused")
        assert live.phase_history("a") == ["Created", "Starting", "Running"], (
            "a restart stops nothing that could not start again"
        )
        assert workloads.pods("a").keys() >= pods
        await live.edit("a", desiredState="Stopped", restartedAt=None)
        await live.until_phase("Stopped", "a")
        await workloads.delete("ConfigMap", "hopper-a")
        await config.until_reverted()
        await live.edit("a", desiredState="Running")
        await live.until(lambda: live.is_ready("a"), "a is ready")

    async def test_a_rejected_change_leaves_the_running_pods_unchanged(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        """The claim cannot grow, so no part of the change may reach the pods."""
        await create_running(live, workloads, "a")
        before = workloads.pod_template("a")
        larger = [{"target": "/data", "size": "1Gi"}]
        await workloads.edit_template(image="web:2", ports=[{"containerPort": 81}], volumes=larger)
        refused = await live.until_reason("a", "Stalled", "WriteRefused")
        assert "hopper-a-data" in refused["message"]
        await workloads.delete("Service", "hopper-a")
        await live.until(lambda: "Service" in workloads.owned_objects("a"), "the Service is created again")
        assert workloads.pod_template("a") == before
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        await workloads.until_pods("a", 0)
        assert workloads.pod_template("a") == before
        await workloads.edit_template(volumes=FULL_SERVICE["volumes"])
        await live.edit("a", desiredState="Running")
        await live.until(lambda: live.is_ready("a"), "a is ready")
        assert workloads.container("a")["image"] == "web:2"


FOREIGN_OBJECTS: dict[str, Manifest] = {
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


class TestNameConflicts:
    async def test_existing_objects_with_the_same_names_are_kept_and_reported(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(**FULL_SERVICE)
        names = {kind: f"a-{number}" for number, kind in enumerate(FOREIGN_OBJECTS)}
        before = {}
        for kind, name in names.items():
            foreign = {"kind": kind, "metadata": {"name": object_name(kind, name)}, **FOREIGN_OBJECTS[kind]}
            before[kind] = await workloads.create(foreign)
        await live.create_from(*(manifest(name, **WEB, overrides=own_domain(name)) for name in names.values()))
        for kind, name in names.items():
            await live.until_reason(name, "Stalled", "WriteRefused")
            message = f'{kind} "{object_name(kind, name)}" already exists and does not belong to this instance'
            assert message in live.condition(name, "Stalled")["message"]
            assert not live.is_ready(name)
            now = workloads.objects(kind)[object_name(kind, name)]
            assert comparable(now) == comparable(before[kind])
            assert now["metadata"]["uid"] == before[kind]["metadata"]["uid"]
            assert "hopper-operator" not in str(now["metadata"]["managedFields"])
            assert not workloads.pods(name), "no pod starts while an object is missing"
        for kind, name in names.items():
            await workloads.delete(kind, object_name(kind, name))
        await live.until_phase("Running", *names.values(), seconds=60)
        for name in names.values():
            await live.until(lambda name=name: live.is_ready(name), f"{name} is ready")
            await workloads.until_owned(name, *KINDS)

    async def test_a_copy_with_the_labels_of_an_instance_is_kept(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        """A copy has another name. An object with only the managed-by label belongs to no instance at all."""
        await create_running(live, workloads, "a")
        original = workloads.owned_objects("a")["ConfigMap"]
        copies = {"copy": original["metadata"]["labels"], "unnamed": {LABEL_MANAGED_BY: MANAGED_BY}}
        for name, labels in copies.items():
            await workloads.create({"kind": "ConfigMap", "metadata": {"name": name, "labels": labels}})
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a")
        async with running_operator(live.namespace):  # the operator starts although the copies belong to no instance
            await live.edit("a", desiredState="Terminated")
            await live.until_phase("Terminated", "a")
            await workloads.until_owned("a", "ConfigMap", "PersistentVolumeClaim")
        assert workloads.objects("ConfigMap").keys() >= copies.keys()

    async def test_instances_with_similar_names_have_different_object_names(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create_template(ports=[{"containerPort": 80}])
        await live.create("a", **WEB)
        await live.create("a-b", **WEB)
        await live.create("a-b-c", "Orchestration", "a-b", **WEB)
        await live.until_phase("Running", "a", "a-b", "a-b-c")
        names = {workloads.deployment(name)["metadata"]["name"] for name in ("a", "a-b", "a-b-c")}
        assert len(names) == 3
