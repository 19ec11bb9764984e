"""The seven kinds of override, from the instance's spec to what runs, and how little a change of one writes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hopper.api.resources import Manifest
from hopper.controller.operator import Operator
from tests.cluster.support.live_instances import LiveInstances, manifest
from tests.cluster.support.request_counter import RequestCounter
from tests.cluster.support.workloads import Workloads

WEB = {"templateRef": {"name": "web"}}
TEMPLATE: dict[str, Any] = {
    "image": "web:1",
    "ports": [{"containerPort": 80}, {"containerPort": 443}],
    "volumes": [{"target": "/data", "size": "1Mi"}, {"target": "/cache", "type": "tmpfs", "size": "8Mi"}],
    "env": [{"name": "LEVEL", "value": "1"}, {"name": "TOKEN", "value": "t0ken", "secret": True}],
    "labels": [{"name": "tier", "value": "web"}, {"name": "team", "value": "blue"}],
    "domains": [{"domain": "web.example.com"}],
    "healthcheck": {"test": ["CMD", "true"], "intervalSeconds": 7},
    "configFiles": [
        {"path": "/etc/web.conf", "content": "level={{ env.LEVEL }}\n", "template": True},
        {"path": "/etc/motd", "content": "{{ not a template }}"},
    ],
}


async def run(live: LiveInstances, workloads: Workloads, overrides: Manifest) -> None:
    """Have an instance with these overrides running."""
    await workloads.create_template(**TEMPLATE)
    await live.create("a", overrides=overrides, **WEB)
    await live.until_phase("Running", "a")
    await workloads.until_template_users("a")  # the last thing that is written


def env(workloads: Workloads, name: str = "a") -> dict[str, Any]:
    return {it["name"]: it.get("value", it.get("valueFrom")) for it in workloads.container(name)["env"]}


def mounts(workloads: Workloads) -> dict[str, Manifest]:
    """Return the source of each mount by path."""
    volumes = {it["name"]: it for it in workloads.pod_template("a")["spec"]["volumes"]}
    return {it["mountPath"]: volumes[it["name"]] for it in workloads.container("a")["volumeMounts"]}


class TestKinds:
    async def test_ports(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await run(
            live,
            workloads,
            {
                "ports": [
                    {"containerPort": 80, "hostPort": 8080},
                    {"containerPort": 443, "$remove": True},
                    {"containerPort": 53, "protocol": "UDP"},
                ]
            },
        )
        ports = workloads.owned_objects("a")["Service"]["spec"]["ports"]
        assert [(it["protocol"], it["port"], it["targetPort"]) for it in ports] == [("UDP", 53, 53), ("TCP", 8080, 80)]
        assert [it["containerPort"] for it in workloads.container("a")["ports"]] == [53, 80]
        assert live.status("a")["overrideCount"] == 3

    async def test_volumes(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await run(
            live,
            workloads,
            {
                "volumes": [
                    {"target": "/cache", "type": "tmpfs", "size": "16Mi"},
                    {"target": "/data", "$remove": True},
                    {"target": "/logs", "source": "logs", "size": "2Mi"},
                ]
            },
        )
        found = mounts(workloads)
        assert "/data" not in found
        assert found["/cache"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}
        assert found["/logs"]["persistentVolumeClaim"] == {"claimName": "hopper-a-logs"}
        (claim,) = workloads.objects("PersistentVolumeClaim").values()
        assert claim["spec"]["resources"]["requests"]["storage"] == "2Mi"

    async def test_env(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await workloads.create({"kind": "Secret", "metadata": {"name": "shared"}, "stringData": {"key": "value"}})
        text = "2 🚀 \x85\u2028"  # as much as JSON allows; what is applied is read as YAML
        reference = {"secretKeyRef": {"name": "shared", "key": "key"}}
        await run(
            live,
            workloads,
            {
                "env": [
                    {"name": "LEVEL", "value": text},
                    {"name": "TOKEN", "value": "another"},  # what the template keeps secret stays so
                    {"name": "PASSWORD", "value": "pa55", "secret": True},
                    {"name": "SHARED", "valueFrom": reference},
                ]
            },
        )
        own = {"secretKeyRef": {"name": "hopper-a", "key": "TOKEN"}}
        assert env(workloads) == {
            "LEVEL": text,
            "TOKEN": own,
            "PASSWORD": {"secretKeyRef": own["secretKeyRef"] | {"key": "PASSWORD"}},
            "SHARED": reference,
        }
        assert workloads.secret_data("a") == {"TOKEN": "another", "PASSWORD": "pa55"}
        await live.edit("a", overrides={"env": [{"name": "TOKEN", "$remove": True}]})
        await live.until(lambda: env(workloads) == {"LEVEL": "1"}, "no secrets any more")
        await live.until(lambda: "Secret" not in workloads.owned_objects("a"), "no Secret any more")
        assert workloads.objects("Secret").keys() == {"shared"}

    async def test_labels(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await run(
            live,
            workloads,
            {
                "labels": [
                    {"name": "tier", "value": "front"},
                    {"name": "team", "$remove": True},
                    {"name": "example.com/x", "value": ""},
                ]
            },
        )
        for found in (workloads.deployment("a"), *workloads.pods("a").values()):
            labels = found["metadata"]["labels"]
            assert (labels["tier"], labels["example.com/x"], "team" in labels) == ("front", "", False)

    async def test_domains(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await run(live, workloads, {"domains": [{"domain": "own.example.com", "proxyPort": 443}]})
        rules = {it["host"]: it["http"]["paths"][0] for it in workloads.owned_objects("a")["Ingress"]["spec"]["rules"]}
        ports = {host: path["backend"]["service"]["port"]["number"] for host, path in rules.items()}
        assert ports == {"web.example.com": 80, "own.example.com": 443}
        await live.edit("a", overrides={"domains": [{"domain": "web.example.com", "$remove": True}]})
        await live.until(lambda: "Ingress" not in workloads.owned_objects("a"), "no Ingress any more")

    async def test_domains_of_two(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        """Both say so, until one lets go; whoever comes third costs the others nothing."""
        await run(live, workloads, {})
        assert live.condition("a", "Warning") == {}
        await live.create("b", **WEB)
        await live.until(lambda: live.is_ready("b"), "b is ready")
        for name, other in (("a", "b"), ("b", "a")):
            await live.until(lambda name=name: live.condition(name, "Warning"), f"{name} warns")
            warning = live.condition(name, "Warning")
            assert warning["reason"] == "RunsWithWarnings"
            assert warning["message"].startswith(f'"{other}" also claims web.example.com')
            assert live.is_ready(name)
        await workloads.until_template_users("a", "b")
        requests = await RequestCounter.start(live)
        await live.create("c", **WEB)
        await live.until(lambda: live.is_ready("c") and live.condition("c", "Warning"), "c is ready, and warns")
        await workloads.until_template_users("a", "b", "c")
        assert '"a" claims web.example.com' in live.condition("c", "Warning")["message"]
        found = await requests.counts()
        assert found[("PATCH", "hopperinstances/status")] <= 3
        await live.edit("b", overrides={"domains": [{"domain": "web.example.com", "$remove": True}]})
        await live.until(lambda: not live.condition("b", "Warning"), "b warns no more")
        await live.until(lambda: '"c" claims' in live.condition("a", "Warning")["message"], "a names c")
        await live.edit("a", desiredState="Archived")
        await live.until(lambda: not live.condition("c", "Warning"), "c warns no more")
        await live.until(lambda: not live.condition("a", "Warning"), "nor does a")

    async def test_healthcheck(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await run(live, workloads, {"healthcheck": {"test": ["CMD-SHELL", "curl localhost"], "retries": 5}})
        probe = workloads.container("a")["readinessProbe"]
        assert probe["exec"]["command"] == ["sh", "-c", "curl localhost"]
        assert (probe["failureThreshold"], probe["periodSeconds"]) == (5, 30)  # replaced whole, not merged
        await live.edit("a", overrides={"healthcheck": {"$remove": True}})
        await live.until(lambda: "readinessProbe" not in workloads.container("a"), "no probes any more")
        assert "livenessProbe" not in workloads.container("a")

    async def test_config_files(self, live: LiveInstances, operator: Operator, workloads: Workloads) -> None:
        await run(
            live,
            workloads,
            {
                "env": [{"name": "LEVEL", "value": "2"}],
                "configFiles": [
                    {"path": "/etc/motd", "$remove": True},
                    {
                        "path": "/etc/own.conf",
                        "template": True,
                        "content": "{{ instance.path }} {{ ports[0].port }} {{ config.routing.strategy }}\n",
                        "mode": "0600",
                    },
                    {"path": "/etc/secret.conf", "template": True, "content": "token={{ env.TOKEN }}"},
                    {"path": "/run/secrets/pw", "contentFrom": {"secretKeyRef": {"name": "shared", "key": "pw"}}},
                ],
            },
        )
        files = workloads.owned_objects("a")["ConfigMap"]["data"]
        assert files["-etc-web.conf"] == "level=2\n"
        assert files["-etc-own.conf"] == "a 80 Intelligent\n"
        assert files.keys() == {"-etc-web.conf", "-etc-own.conf"}
        assert workloads.secret_data("a")["-etc-secret.conf"] == "token=t0ken"
        sources = [next(iter(one.values())) for one in mounts(workloads)["/etc/own.conf"]["projected"]["sources"]]
        modes = {item["path"]: item["mode"] for source in sources for item in source["items"]}
        assert modes["-etc-own.conf"] == 0o600
        (shared,) = (source for source in sources if source["name"] == "shared")
        assert shared["items"] == [{"key": "pw", "path": "-run-secrets-pw", "mode": 0o644}]
        assert "/run/secrets/pw" in mounts(workloads)
        assert "/etc/motd" not in mounts(workloads)


EVERY_KIND: dict[str, Any] = {
    "ports": [{"containerPort": 8080}, {"containerPort": 443, "$remove": True}],
    "volumes": [{"target": "/data", "type": "tmpfs"}],
    "env": [{"name": "LEVEL", "value": "2"}, {"name": "PASSWORD", "value": "pa55", "secret": True}],
    "labels": [{"name": "tier", "value": "front"}],
    "domains": [{"domain": "own.example.com"}],
    "healthcheck": {"test": ["NONE"]},
    "configFiles": [{"path": "/etc/motd", "content": "hello"}],
}


async def test_taking_overrides_back_restores_what_the_template_says(
    live: LiveInstances, operator: Operator, workloads: Workloads
) -> None:
    await workloads.create_template(**TEMPLATE)
    await live.create_from(manifest("plain", **WEB), manifest("other", **WEB, overrides=EVERY_KIND))
    await live.until_phase("Running", "plain", "other")
    assert live.status("other")["overrideCount"] == 9
    assert content(workloads, "other") != content(workloads, "plain")
    await live.edit("other", overrides=None)
    await live.until(lambda: content(workloads, "other") == content(workloads, "plain"), "the same objects")
    await live.until(lambda: "overrideCount" not in live.status("other"), "nothing is overridden")
    await live.edit("plain", overrides=EVERY_KIND)
    await live.until(lambda: content(workloads, "other") != content(workloads, "plain"), "changed again")
    assert live.phase_history("plain") == live.phase_history("other") == ["Created", "Starting", "Running"]


def content(workloads: Workloads, name: str) -> dict[str, Any]:
    """Return what the objects of an instance say, but for its name and what is allocated or counted."""

    def relevant(it: Manifest) -> Manifest:
        found = {key: value for key, value in it.items() if key not in ("metadata", "status")}
        if it["kind"] == "Service":
            found["spec"] = {key: value for key, value in it["spec"].items() if not key.startswith("clusterIP")}
        if it["kind"] == "PersistentVolumeClaim":
            found["spec"] = {"resources": it["spec"]["resources"]}
        if it["kind"] == "Deployment":
            notes = found["spec"]["template"]["metadata"].get("annotations", {})
            notes.pop("hopper.dev/checksum", None)  # keyed with the uid
        labels = {key: value for key, value in it["metadata"]["labels"].items() if key != "hopper.dev/instance"}
        return found | {"labels": labels}

    text = json.dumps({kind: relevant(it) for kind, it in workloads.owned_objects(name).items()})
    same: dict[str, Any] = json.loads(text.replace(f"hopper-{name}", "NAME").replace(f'"{name}"', '"NAME"'))
    same.pop("PersistentVolumeClaim", None)  # stays when it is no longer rendered
    return same


class TestOneChange:
    """How little is written when one value changes, and who is restarted by it."""

    @pytest.mark.parametrize(
        ("overrides", "applied", "restarts"),
        [
            ({"env": [{"name": "PLAIN", "value": "2"}]}, ["deployments"], True),
            ({"env": [{"name": "TOKEN", "value": "2"}]}, ["deployments", "secrets"], True),
            ({"configFiles": [{"path": "/etc/motd", "content": "2"}]}, ["configmaps", "deployments"], True),
            ({"volumes": [{"target": "/more"}]}, ["deployments", "persistentvolumeclaims"], True),
            ({"labels": [{"name": "tier", "value": "2"}]}, ["deployments"], True),
            # The Deployment carries the revision, which covers what the pods do not see.
            ({"domains": [{"domain": "own.example.com"}]}, ["deployments", "ingresses"], False),
            ({"ports": [{"containerPort": 443, "hostPort": 8443}]}, ["deployments", "services"], False),
        ],
        ids=["variable", "secret", "file", "volume", "label", "domain", "port"],
    )
    async def test_writes_what_it_must(
        self,
        live: LiveInstances,
        operator: Operator,
        workloads: Workloads,
        overrides: Manifest,
        applied: list[str],
        restarts: bool,
    ) -> None:
        await run(live, workloads, {})
        before, generation = workloads.pods("a").keys(), live["a"]["metadata"]["generation"]
        requests = await RequestCounter.start(live)
        await live.edit("a", overrides=overrides)
        await live.until(lambda: live.is_observed("a") and live.is_ready("a"), "ready again")
        assert live["a"]["metadata"]["generation"] == generation + 1
        await workloads.until_pods("a", 1)
        await requests.expect(*applied, status=2, metadata=1)  # the edit of this test
        assert (workloads.pods("a").keys() != before) is restarts
        assert len(workloads.pod_uids_ever("a")) == 1 + restarts
        assert live.phase_history("a") == ["Created", "Starting", "Running"]

    @pytest.mark.parametrize("what", ["labels", "annotations", "description", "replicas-as-they-are"])
    async def test_what_the_pods_do_not_see_changes_nothing(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, what: str
    ) -> None:
        edits: dict[str, Callable[[], Awaitable[object]]] = {
            "labels": lambda: live.patch("a", {"metadata": {"labels": {"team": "red", "tier": "none"}}}),
            "annotations": lambda: live.patch("a", {"metadata": {"annotations": {"note": "x"}}}),
            "description": lambda: live.edit("a", description="another", displayName="A"),
            "replicas-as-they-are": lambda: live.edit("a", replicas=1, reason="none"),
        }
        await run(live, workloads, {})
        before = {it["metadata"]["uid"]: it["metadata"]["generation"] for it in (workloads.deployment("a"),)}
        pods = workloads.pods("a").keys()
        requests = await RequestCounter.start(live)
        await edits[what]()
        await live.until(lambda: live.is_observed("a") and not len(operator.queue), "looked at")
        await requests.expect(status=1, metadata=1)
        assert {it["metadata"]["uid"]: it["metadata"]["generation"] for it in (workloads.deployment("a"),)} == before
        assert workloads.pods("a").keys() == pods
        assert "red" not in json.dumps(list(workloads.owned_objects("a").values()))
