"""The seven kinds of override: their effect on the owned objects, and the writes that a change costs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hopper.api.resources import Manifest
from hopper.controller.operator import Operator
from hopper.domain.service.render.objects import CHECKSUM_KEY
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


async def create_running(live: LiveInstances, workloads: Workloads, overrides: Manifest) -> None:
    """Create an instance with these overrides and wait until it runs."""
    await workloads.create_template(**TEMPLATE)
    await live.create("a", overrides=overrides, **WEB)
    await live.until_phase("Running", "a")
    await workloads.until_template_users("a")  # the last write after a start


def variables(workloads: Workloads, name: str = "a") -> dict[str, Any]:
    """Return value or source of each environment variable by name."""
    entries = workloads.container(name)["env"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}


def mounts(workloads: Workloads) -> dict[str, Manifest]:
    """Return the volume of each mount by path."""
    volumes = {volume["name"]: volume for volume in workloads.pod_template("a")["spec"]["volumes"]}
    return {mount["mountPath"]: volumes[mount["name"]] for mount in workloads.container("a")["volumeMounts"]}


class TestOverrideKinds:
    async def test_overridden_ports_change_service_and_container(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(
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
        assert [(port["protocol"], port["port"], port["targetPort"]) for port in ports] == [
            ("UDP", 53, 53),
            ("TCP", 8080, 80),
        ]
        assert [port["containerPort"] for port in workloads.container("a")["ports"]] == [53, 80]
        assert live.status("a")["overrideCount"] == 3

    async def test_overridden_volumes_change_mounts_and_claims(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(
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
        volumes = mounts(workloads)
        assert "/data" not in volumes
        assert volumes["/cache"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}
        assert volumes["/logs"]["persistentVolumeClaim"] == {"claimName": "hopper-a-logs"}
        (claim,) = workloads.objects("PersistentVolumeClaim").values()
        assert claim["spec"]["resources"]["requests"]["storage"] == "2Mi"

    async def test_overridden_variables_change_container_and_secret(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await workloads.create({"kind": "Secret", "metadata": {"name": "shared"}, "stringData": {"key": "value"}})
        # The API server parses applied objects as YAML, in which these characters are special.
        text = "2 🚀 \x85\u2028"
        reference = {"secretKeyRef": {"name": "shared", "key": "key"}}
        await create_running(
            live,
            workloads,
            {
                "env": [
                    {"name": "LEVEL", "value": text},
                    {"name": "TOKEN", "value": "another"},  # secret, because the template says so
                    {"name": "PASSWORD", "value": "pa55", "secret": True},
                    {"name": "SHARED", "valueFrom": reference},
                ]
            },
        )
        own = {"secretKeyRef": {"name": "hopper-a", "key": "TOKEN"}}
        assert variables(workloads) == {
            "LEVEL": text,
            "TOKEN": own,
            "PASSWORD": {"secretKeyRef": own["secretKeyRef"] | {"key": "PASSWORD"}},
            "SHARED": reference,
        }
        assert workloads.secret_data("a") == {"TOKEN": "another", "PASSWORD": "pa55"}
        await live.edit("a", overrides={"env": [{"name": "TOKEN", "$remove": True}]})
        await live.until(lambda: variables(workloads) == {"LEVEL": "1"}, "no secret variable is left")
        await live.until(lambda: "Secret" not in workloads.owned_objects("a"), "the Secret is deleted")
        assert workloads.objects("Secret").keys() == {"shared"}

    async def test_overridden_labels_change_deployment_and_pods(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(
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
        for labeled in (workloads.deployment("a"), *workloads.pods("a").values()):
            labels = labeled["metadata"]["labels"]
            assert (labels["tier"], labels["example.com/x"], "team" in labels) == ("front", "", False)

    async def test_overridden_domains_change_the_ingress(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, {"domains": [{"domain": "own.example.com", "proxyPort": 443}]})
        rules = workloads.owned_objects("a")["Ingress"]["spec"]["rules"]
        backends = {rule["host"]: rule["http"]["paths"][0]["backend"] for rule in rules}
        ports = {host: backend["service"]["port"]["number"] for host, backend in backends.items()}
        assert ports == {"web.example.com": 80, "own.example.com": 443}
        await live.edit("a", overrides={"domains": [{"domain": "web.example.com", "$remove": True}]})
        await live.until(lambda: "Ingress" not in workloads.owned_objects("a"), "the Ingress is deleted")

    async def test_an_overridden_healthcheck_replaces_the_probes(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(live, workloads, {"healthcheck": {"test": ["CMD-SHELL", "curl localhost"], "retries": 5}})
        probe = workloads.container("a")["readinessProbe"]
        assert probe["exec"]["command"] == ["sh", "-c", "curl localhost"]
        # The override is not merged with the healthcheck of the template.
        assert (probe["failureThreshold"], probe["periodSeconds"]) == (5, 30)
        await live.edit("a", overrides={"healthcheck": {"$remove": True}})
        await live.until(lambda: "readinessProbe" not in workloads.container("a"), "the probes are removed")
        assert "livenessProbe" not in workloads.container("a")

    async def test_overridden_config_files_change_config_map_secret_and_mounts(
        self, live: LiveInstances, operator: Operator, workloads: Workloads
    ) -> None:
        await create_running(
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
        projected = mounts(workloads)["/etc/own.conf"]["projected"]
        sources = [next(iter(source.values())) for source in projected["sources"]]
        modes = {item["path"]: item["mode"] for source in sources for item in source["items"]}
        assert modes["-etc-own.conf"] == 0o600
        (shared,) = (source for source in sources if source["name"] == "shared")
        assert shared["items"] == [{"key": "pw", "path": "-run-secrets-pw", "mode": 0o644}]
        assert "/run/secrets/pw" in mounts(workloads)
        assert "/etc/motd" not in mounts(workloads)


def uid_and_generation(workloads: Workloads) -> tuple[str, int]:
    """Return uid and generation of the Deployment."""
    metadata = workloads.deployment("a")["metadata"]
    return metadata["uid"], metadata["generation"]


ALL_OVERRIDES: dict[str, Any] = {
    "ports": [{"containerPort": 8080}, {"containerPort": 443, "$remove": True}],
    "volumes": [{"target": "/data", "type": "tmpfs"}],
    "env": [{"name": "LEVEL", "value": "2"}, {"name": "PASSWORD", "value": "pa55", "secret": True}],
    "labels": [{"name": "tier", "value": "front"}],
    "domains": [{"domain": "own.example.com"}],
    "healthcheck": {"test": ["NONE"]},
    "configFiles": [{"path": "/etc/motd", "content": "hello"}],
}


async def test_removing_all_overrides_restores_the_service_of_the_template(
    live: LiveInstances, operator: Operator, workloads: Workloads
) -> None:
    # Only one of two instances with the same domain has it in its Ingress.
    await workloads.create_template(**TEMPLATE | {"domains": []})
    await live.create_from(manifest("plain", **WEB), manifest("other", **WEB, overrides=ALL_OVERRIDES))
    await live.until_phase("Running", "plain", "other")
    assert live.status("other")["overrideCount"] == 9
    assert comparable_objects(workloads, "other") != comparable_objects(workloads, "plain")
    await live.edit("other", overrides=None)
    await live.until(
        lambda: comparable_objects(workloads, "other") == comparable_objects(workloads, "plain"),
        "plain and other have the same objects",
    )
    await live.until(lambda: "overrideCount" not in live.status("other"), "other counts no overrides")
    await live.edit("plain", overrides=ALL_OVERRIDES)
    await live.until(
        lambda: comparable_objects(workloads, "other") != comparable_objects(workloads, "plain"),
        "plain has changed objects",
    )
    assert live.phase_history("plain") == live.phase_history("other") == ["Created", "Starting", "Running"]


def comparable_objects(workloads: Workloads, name: str) -> dict[str, Any]:
    """Return the owned objects by kind, without the instance name and fields that the API server sets."""

    def relevant(manifest: Manifest) -> Manifest:
        kept = {key: value for key, value in manifest.items() if key not in ("metadata", "status")}
        if manifest["kind"] == "Service":
            kept["spec"] = {key: value for key, value in manifest["spec"].items() if not key.startswith("clusterIP")}
        if manifest["kind"] == "PersistentVolumeClaim":
            kept["spec"] = {"resources": manifest["spec"]["resources"]}
        if manifest["kind"] == "Deployment":
            annotations = kept["spec"]["template"]["metadata"].get("annotations", {})
            annotations.pop("hopper.dev/checksum", None)  # keyed with a random key
        if manifest["kind"] == "Secret":
            kept["data"] = {key: value for key, value in manifest["data"].items() if key != CHECKSUM_KEY}
        labels = {key: value for key, value in manifest["metadata"]["labels"].items() if key != "hopper.dev/instance"}
        return kept | {"labels": labels}

    text = json.dumps({kind: relevant(manifest) for kind, manifest in workloads.owned_objects(name).items()})
    objects: dict[str, Any] = json.loads(text.replace(f"hopper-{name}", "NAME").replace(f'"{name}"', '"NAME"'))
    objects.pop("PersistentVolumeClaim", None)  # kept when it is no longer rendered
    return objects


class TestWritesPerChange:
    """Writes that one changed value costs, and whether it replaces the pods."""

    @pytest.mark.parametrize(
        ("overrides", "applied", "replaces_pods"),
        [
            ({"env": [{"name": "PLAIN", "value": "2"}]}, ["deployments"], True),
            ({"env": [{"name": "TOKEN", "value": "2"}]}, ["deployments", "secrets"], True),
            ({"configFiles": [{"path": "/etc/motd", "content": "2"}]}, ["configmaps", "deployments"], True),
            ({"volumes": [{"target": "/more"}]}, ["deployments", "persistentvolumeclaims"], True),
            ({"labels": [{"name": "tier", "value": "2"}]}, ["deployments"], True),
            # The Deployment is applied, too, because its revision covers all objects.
            ({"domains": [{"domain": "own.example.com"}]}, ["deployments", "ingresses"], False),
            ({"ports": [{"containerPort": 443, "hostPort": 8443}]}, ["deployments", "services"], False),
        ],
        ids=["variable", "secret", "file", "volume", "label", "domain", "port"],
    )
    async def test_a_change_applies_only_the_affected_objects(
        self,
        live: LiveInstances,
        operator: Operator,
        workloads: Workloads,
        overrides: Manifest,
        applied: list[str],
        replaces_pods: bool,
    ) -> None:
        await create_running(live, workloads, {})
        before, generation = workloads.pods("a").keys(), live["a"]["metadata"]["generation"]
        requests = await RequestCounter.start(live)
        await live.edit("a", overrides=overrides)
        await live.until(lambda: live.is_observed("a") and live.is_ready("a"), "a is ready")
        assert live["a"]["metadata"]["generation"] == generation + 1
        await workloads.until_pods("a", 1)
        await requests.expect(*applied, status=2, metadata=1)  # the edit of this test
        assert (workloads.pods("a").keys() != before) is replaces_pods
        assert len(workloads.pod_uids_ever("a")) == 1 + replaces_pods
        assert live.phase_history("a") == ["Created", "Starting", "Running"]

    @pytest.mark.parametrize("changed", ["labels", "annotations", "description", "replicas-as-they-are"])
    async def test_a_change_that_affects_no_object_applies_nothing(
        self, live: LiveInstances, operator: Operator, workloads: Workloads, changed: str
    ) -> None:
        edits: dict[str, Callable[[], Awaitable[object]]] = {
            "labels": lambda: live.patch("a", {"metadata": {"labels": {"team": "red", "tier": "none"}}}),
            "annotations": lambda: live.patch("a", {"metadata": {"annotations": {"note": "x"}}}),
            "description": lambda: live.edit("a", description="another", displayName="A"),
            "replicas-as-they-are": lambda: live.edit("a", replicas=1, reason="none"),
        }
        await create_running(live, workloads, {})
        before = uid_and_generation(workloads)
        pods = workloads.pods("a").keys()
        requests = await RequestCounter.start(live)
        await edits[changed]()
        await live.until(lambda: live.is_observed("a") and not len(operator.queue), "a is reconciled")
        await requests.expect(status=1, metadata=1)
        assert uid_and_generation(workloads) == before
        assert workloads.pods("a").keys() == pods
        assert "red" not in json.dumps(list(workloads.owned_objects("a").values()))
