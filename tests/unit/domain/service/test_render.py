"""What an instance is to have in the cluster, in each mode and for each type."""

from __future__ import annotations

import copy
import json
from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from hopper.api.enums import Phase
from hopper.api.service import Overrides
from hopper.domain.service.blueprint import Blueprint, prepare
from hopper.domain.service.render import Mode, mode_of, render
from hopper.domain.service.revision import revision
from tests.unit.domain.service.samples import FULL, PROJECT, Wire, blueprint, instance, rendered, template
from tests.unit.domain.service.strategies import OVERRIDES

BASE = "hopper-shop-web-1"
PORT: Wire = {"ports": [{"containerPort": 8080}]}
CANARY = "s3cret-canary"


def container(made: Blueprint) -> dict[str, Any]:
    return pod(made)["containers"][0]


def pod(made: Blueprint) -> dict[str, Any]:
    return rendered(made)["Deployment"]["spec"]["template"]["spec"]


def pod_template(made: Blueprint, mode: Mode = Mode.UP) -> dict[str, Any]:
    return rendered(made, mode)["Deployment"]["spec"]["template"]


class TestObjects:
    def test_all_that_there_may_be_in_the_order_to_apply(self) -> None:
        objects = render(blueprint(FULL), Mode.UP).objects
        assert [(one["kind"], one["metadata"]["name"]) for one in objects] == [
            ("Secret", BASE),
            ("ConfigMap", BASE),
            ("PersistentVolumeClaim", f"{BASE}-web-data"),
            ("Service", BASE),
            ("Ingress", BASE),
            ("Deployment", BASE),
        ]

    def test_only_what_is_needed(self) -> None:
        assert list(rendered(blueprint())) == ["Deployment"]
        assert list(rendered(blueprint(PORT))) == ["Service", "Deployment"]

    def test_each_is_named_labelled_and_owned(self) -> None:
        for one in render(blueprint(FULL), Mode.UP).objects:
            metadata = one["metadata"]
            assert metadata["namespace"] == "default"
            assert metadata["labels"]["hopper.dev/instance"] == "web-1"
            assert metadata["labels"]["app.kubernetes.io/part-of"] == "shop"
            assert metadata["ownerReferences"] == [
                {
                    "apiVersion": "hopper.dev/v1",
                    "kind": "HopperInstance",
                    "name": "web-1",
                    "uid": "uid-web-1",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ]

    def test_nothing_is_shared_between_them(self) -> None:
        """Whoever changes one of them changes no other."""
        made = blueprint(FULL)
        objects = render(made, Mode.UP).objects
        seen: set[int] = set()

        def walk(value: Any) -> None:
            if isinstance(value, dict | list) and value:
                assert id(value) not in seen, value
                seen.add(id(value))
                for child in value.values() if isinstance(value, dict) else value:
                    walk(child)

        walk(list(objects))
        json.dumps(objects)


class TestModes:
    @pytest.mark.parametrize(
        ("phase", "mode"),
        [
            (Phase.CREATED, None),
            (Phase.STARTING, Mode.UP),
            (Phase.RUNNING, Mode.UP),
            (Phase.ERROR, Mode.UP),
            (Phase.PAUSED, Mode.PAUSED),
            (Phase.STOPPING, Mode.STOPPED),
            (Phase.STOPPED, Mode.STOPPED),
            (Phase.ARCHIVED, Mode.ARCHIVED),
            (Phase.TERMINATED, Mode.TERMINATED),
        ],
    )
    def test_follow_from_the_phase(self, phase: Phase, mode: Mode | None) -> None:
        assert mode_of(phase) is mode

    def test_paused_changes_nothing_but_the_selector(self) -> None:
        up, paused = rendered(blueprint(FULL)), rendered(blueprint(FULL), Mode.PAUSED)
        assert paused["Service"]["spec"]["selector"] == {"hopper.dev/instance": "web-1", "hopper.dev/paused": "true"}
        assert "hopper.dev/paused" not in up["Deployment"]["spec"]["template"]["metadata"]["labels"]
        paused["Service"]["spec"]["selector"] = up["Service"]["spec"]["selector"]
        assert paused == up

    def test_stopped_changes_nothing_but_the_number(self) -> None:
        up, stopped = rendered(blueprint(FULL)), rendered(blueprint(FULL), Mode.STOPPED)
        assert stopped["Deployment"]["spec"]["replicas"] == 0
        stopped["Deployment"]["spec"]["replicas"] = up["Deployment"]["spec"]["replicas"]
        assert stopped == up

    @pytest.mark.parametrize("mode", [Mode.ARCHIVED, Mode.TERMINATED])
    def test_at_the_end_only_volumes_are_left(self, mode: Mode) -> None:
        assert list(rendered(blueprint(FULL), mode)) == ["PersistentVolumeClaim"]
        assert list(rendered(blueprint(FULL, type="Singleton"), mode)) == ["PersistentVolumeClaim"]
        assert rendered(blueprint(FULL, type="Ephemeral"), mode) == {}


class TestTypes:
    def test_a_singleton_has_one_pod_and_never_two_at_once(self) -> None:
        spec = rendered(blueprint(PORT, type="Singleton", replicas=3))["Deployment"]["spec"]
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
        assert rendered(blueprint(PORT, type="Singleton", replicas=0))["Deployment"]["spec"]["replicas"] == 0

    def test_pods_roll_unless_they_share_a_volume(self) -> None:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
        volumes = {"volumes": [{"target": "/data"}]}
        external = {"volumes": [{"target": "/data", "source": "x", "external": True}]}
        for made, strategy in (
            (blueprint(PORT, replicas=3), rolling),
            (blueprint({"volumes": [{"target": "/data", "type": "tmpfs"}]}), rolling),
            (blueprint(volumes), {"type": "Recreate"}),
            (blueprint(volumes, type="Ephemeral"), rolling),
            (blueprint(external, type="Ephemeral"), {"type": "Recreate"}),
        ):
            assert rendered(made)["Deployment"]["spec"]["strategy"] == strategy

    def test_ephemeral_volumes_are_scratch(self) -> None:
        volumes = pod(blueprint(FULL, type="Ephemeral"))["volumes"]
        scratch = {"sizeLimit": "512Mi"}
        memory = {"medium": "Memory", "sizeLimit": "64Mi"}
        assert [volume["emptyDir"] for volume in volumes if "emptyDir" in volume] == [scratch, memory]
        claims = [volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume]
        assert claims == [{"claimName": "archive"}]

    def test_a_scratch_volume_mounted_twice_is_as_large_as_asked(self) -> None:
        sizes = [{"target": f"/{n}", "source": "x", "size": size} for n, size in enumerate(("1Gi", "2Gi", None))]
        (volume,) = pod(blueprint({"volumes": sizes}, type="Ephemeral"))["volumes"]
        assert volume["emptyDir"] == {"sizeLimit": "2Gi"}


class TestContainer:
    def test_runs_what_the_template_says(self) -> None:
        found = container(blueprint(FULL))
        assert found["image"] == "registry.example.com:5000/team/web:1.2"
        assert (found["command"], found["args"], found["workingDir"]) == (["/bin/web"], ["--port", "80"], "/srv")
        assert found["resources"] == {
            "requests": {"cpu": "500m", "memory": "1Gi"},
            "limits": {"cpu": "1", "memory": "1536Mi"},
        }

    def test_says_nothing_where_nothing_is_said(self) -> None:
        assert container(blueprint()).keys() == {"name", "image", "securityContext"}
        assert container(blueprint({"resources": {"limits": {}}})).keys() == {"name", "image", "securityContext"}

    def test_variables_follow_those_that_they_refer_to(self) -> None:
        names = [entry["name"] for entry in container(blueprint(FULL))["env"]]
        assert sorted(names) == ["AAA_URL", "EMPTY", "LEVEL", "PASSWORD", "TOKEN", "TZ"]
        assert names[-1] == "AAA_URL"

    def test_variables_take_their_values_from_where_they_are(self) -> None:
        env = {entry.pop("name"): entry for entry in container(blueprint(FULL))["env"]}
        assert env["TZ"] == {"value": "Etc/UTC"}
        assert env["EMPTY"] == {}
        assert env["PASSWORD"] == {"valueFrom": {"secretKeyRef": {"name": BASE, "key": "PASSWORD"}}}
        assert env["TOKEN"] == {"valueFrom": {"secretKeyRef": {"name": "tokens", "key": "web"}}}
        assert env["LEVEL"] == {"valueFrom": {"configMapKeyRef": {"name": "levels", "key": "web.level"}}}

    def test_ports(self) -> None:
        assert container(blueprint(FULL))["ports"] == [
            {"name": "tcp-80", "containerPort": 80, "protocol": "TCP"},
            {"name": "tcp-443", "containerPort": 443, "protocol": "TCP"},
            {"name": "udp-443", "containerPort": 443, "protocol": "UDP"},
        ]


class TestProbes:
    def test_one_test_asked_for_three_reasons(self) -> None:
        found = container(blueprint(FULL))
        probe = {
            "exec": {"command": ["sh", "-c", "wget -q localhost"]},
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 3,
        }
        assert found["readinessProbe"] == found["livenessProbe"] == probe
        assert found["startupProbe"] == {**probe, "failureThreshold": 6}  # 25 s in steps of 10 s, and 3 retries

    def test_a_short_start_period_is_asked_within(self) -> None:
        check = {"test": ["CMD", "a", "b"], "startPeriodSeconds": 5, "retries": 2}
        found = container(blueprint({"healthcheck": check}))["startupProbe"]
        assert (found["exec"]["command"], found["periodSeconds"], found["failureThreshold"]) == (["a", "b"], 5, 3)

    def test_none(self) -> None:
        assert "readinessProbe" not in container(blueprint({"healthcheck": {"test": ["NONE"]}}))

    def test_the_deadline_leaves_time_to_start(self) -> None:
        assert rendered(blueprint())["Deployment"]["spec"]["progressDeadlineSeconds"] == 600
        assert rendered(blueprint(FULL))["Deployment"]["spec"]["progressDeadlineSeconds"] == 655


class TestSecurity:
    def test_is_restricted_by_default(self) -> None:
        found = pod(blueprint())
        assert found["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}, "runAsNonRoot": True}
        assert (found["automountServiceAccountToken"], found["enableServiceLinks"]) == (False, False)
        assert container(blueprint())["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }

    def test_baseline_is_said_aloud(self) -> None:
        made = blueprint({"securityProfile": "Baseline", "user": "0"})
        assert "runAsNonRoot" not in pod(made)["securityContext"]
        assert "securityContext" not in container(made)
        (warning,) = render(made, Mode.UP).warnings
        assert "Baseline" in warning
        assert render(blueprint(), Mode.UP).warnings == ()

    @pytest.mark.parametrize(
        ("user", "expected"),
        [
            ("1000", {"runAsUser": 1000, "fsGroup": 1000}),
            ("1000:2000", {"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 2000}),
        ],
    )
    def test_user(self, user: str, expected: dict[str, int]) -> None:
        context = pod(blueprint({"user": user}))["securityContext"]
        assert {name: context[name] for name in context if name.startswith(("runAsU", "runAsG", "fsGroup"))} == {
            **expected,
            "fsGroupChangePolicy": "OnRootMismatch",
        }

    def test_low_ports_need_no_root(self) -> None:
        sysctls = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
        assert pod(blueprint({"ports": [{"containerPort": 1023}]}))["securityContext"]["sysctls"] == sysctls
        assert "sysctls" not in pod(blueprint({"ports": [{"containerPort": 1024}]}))["securityContext"]

    def test_pods_that_cannot_be_placed_are_warned_of(self) -> None:
        volumes = {"volumes": [{"target": "/data"}]}
        (warning,) = blueprint(volumes, replicas=2).warnings
        assert "2 replicas share volumes" in warning
        assert blueprint(volumes).warnings == ()


class TestVolumes:
    def test_a_claim_mounted_twice_is_there_once(self) -> None:
        made = blueprint(FULL)
        claims = [one for one in pod(made)["volumes"] if "persistentVolumeClaim" in one]
        assert [one["persistentVolumeClaim"]["claimName"] for one in claims] == [f"{BASE}-web-data", "archive"]
        mounts = [one for one in container(made)["volumeMounts"] if one["name"] == claims[0]["name"]]
        assert [(one["mountPath"], one.get("readOnly")) for one in mounts] == [("/backup", True), ("/data", None)]

    @pytest.mark.parametrize(
        ("sizes", "expected"), [((None,), "1Gi"), (("0.5Gi",), "512Mi"), (("1Gi", None, "2Gi"), "2Gi")]
    )
    def test_a_claim_is_as_large_as_asked(self, sizes: tuple[str | None, ...], expected: str) -> None:
        volumes = [{"target": f"/{n}", "source": "x", "size": size} for n, size in enumerate(sizes)]
        claim = rendered(blueprint({"volumes": volumes}))["PersistentVolumeClaim"]
        assert claim["spec"] == {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": expected}},
        }

    def test_existing_configuration_is_read_only(self) -> None:
        made = blueprint({"volumes": [{"target": "/settings/", "type": "config", "source": "settings"}]})
        assert pod(made)["volumes"] == [
            {"name": "config-settings", "configMap": {"name": "settings", "defaultMode": 0o644}}
        ]
        assert container(made)["volumeMounts"] == [
            {"name": "config-settings", "mountPath": "/settings", "readOnly": True}
        ]

    def test_another_kind_of_volume_has_another_name(self) -> None:
        kinds = ({"type": "tmpfs"}, {"source": "data"}, {"type": "config", "source": "data"})
        kinds = (*kinds, {"source": "data", "external": True})
        names = [pod(blueprint({"volumes": [{"target": "/data", **kind}]}))["volumes"][0]["name"] for kind in kinds]
        assert len(set(names)) == len(names)


class TestFiles:
    def test_each_is_mounted_by_itself(self) -> None:
        made = blueprint(FULL)
        mounts = [mount for mount in container(made)["volumeMounts"] if mount["name"] == "files"]
        assert [(mount["mountPath"], mount["subPath"], mount["readOnly"]) for mount in mounts] == [
            ("/etc/web/motd", "-etc-web-motd", True),
            ("/etc/web/pass_word", "-etc-web-pass_word", True),
            ("/etc/web/web.conf", "-etc-web-web.conf", True),
        ]
        (volume,) = [volume for volume in pod(made)["volumes"] if volume["name"] == "files"]
        config, secret = volume["projected"]["sources"]
        assert config["configMap"]["items"] == [
            {"key": "-etc-web-motd", "path": "-etc-web-motd", "mode": 0o644},
            {"key": "-etc-web-web.conf", "path": "-etc-web-web.conf", "mode": 0o600},
        ]
        assert secret["secret"]["items"] == [{"key": "-etc-web-pass_word", "path": "-etc-web-pass_word", "mode": 0o644}]

    def test_from_other_objects(self) -> None:
        def of(kind: str, name: str, key: str) -> Wire:
            return {"contentFrom": {kind: {"name": name, "key": key}}}

        made = blueprint(
            {
                "configFiles": [
                    {"path": "/run/secrets/a", "mode": "0400", **of("secretKeyRef", "shared", "one")},
                    {"path": "/run/secrets/b", **of("secretKeyRef", "shared", "two")},
                    {"path": "/etc/c", **of("configMapKeyRef", "shared", "one")},
                    {"path": "/etc/own", "content": "x"},
                ],
            }
        )
        (volume,) = (volume for volume in pod(made)["volumes"] if volume["name"] == "files")
        assert [
            (kind, source["name"], [(item["key"], item["path"], item["mode"]) for item in source["items"]])
            for one in volume["projected"]["sources"]
            for kind, source in one.items()
        ] == [
            ("configMap", BASE, [("-etc-own", "-etc-own", 0o644)]),
            ("configMap", "shared", [("one", "-etc-c", 0o644)]),
            ("secret", "shared", [("one", "-run-secrets-a", 0o400), ("two", "-run-secrets-b", 0o644)]),
        ]
        mounted = {mount["mountPath"]: mount["subPath"] for mount in container(made)["volumeMounts"]}
        assert mounted["/run/secrets/a"] == "-run-secrets-a"
        assert rendered(made)["ConfigMap"]["data"] == {"-etc-own": "x"}
        assert "Secret" not in rendered(made)

    def test_are_rendered_with_the_values_of_the_instance(self) -> None:
        assert rendered(blueprint(FULL))["ConfigMap"]["data"] == {
            "-etc-web-motd": "I am global/shop/web-1\n",
            "-etc-web-web.conf": "listen 80\n",
        }

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("{{ instance.name }} {{ instance.namespace }} {{ instance.scope }}", "web-1 default Orchestration"),
            ("{{ instance.host }}", BASE),
            ("{{ instance.displayName }}", "Web"),
            ("{{ parent }} {{ project }}", "shop shop"),
            ("{{ ports[0].port }}:{{ ports[0].containerPort }}/{{ ports[0].protocol }}", "80:8080/TCP"),
            ("{{ labels.tier }}", "web"),
            ("{{ config.routing.strategy }} {{ config.extra.x }}", "Rules 1"),
            ("{{ env | length }} {{ env | tojson }}", '1 {"A": "1"}'),
        ],
    )
    def test_the_documented_values(self, text: str, expected: str) -> None:
        made = blueprint(
            {
                "ports": [{"containerPort": 8080, "hostPort": 80}],
                "labels": [{"name": "tier", "value": "web"}],
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "configFiles": [{"path": "/x", "content": text, "template": True}],
            },
            displayName="Web",
            config={"routing": {"strategy": "Rules"}, "extra": {"x": 1}},
        )
        assert made.problems == ()
        assert rendered(made)["ConfigMap"]["data"] == {"-x": expected}

    def test_one_with_a_secret_value_is_kept_in_the_secret(self) -> None:
        objects = rendered(blueprint(FULL))
        data = {key: b64decode(value).decode() for key, value in objects["Secret"]["data"].items()}
        assert data == {"PASSWORD": CANARY, "-etc-web-pass_word": f"password={CANARY}\n"}

    @pytest.mark.parametrize(
        ("text", "secret"),
        [
            ("{{ env.P }}", True),
            ("{{ env | tojson }}", True),
            ("{% if env.P %}x{% endif %}", True),
            ("{{ env['P'] | length }}", True),
            ("{% if env.Q %}x{% endif %}", False),
            ("{% if env.Q == '2' %}{{ env.P }}{% endif %}", False),
            ("plain", False),
        ],
    )
    def test_reading_a_secret_value_is_enough(self, text: str, secret: bool) -> None:
        env = [{"name": "P", "value": "x", "secret": True}, {"name": "Q", "value": "1"}]
        made = blueprint({"env": env, "configFiles": [{"path": "/x", "content": text, "template": True}]})
        assert [file.secret for file in made.files] == [secret]

    def test_all_may_be_secret(self) -> None:
        env = [{"name": "P", "value": "x", "secret": True}]
        made = blueprint({"env": env, "configFiles": [{"path": "/x", "content": "{{ env.P }}", "template": True}]})
        (volume,) = pod(made)["volumes"]
        assert [list(source) for source in volume["projected"]["sources"]] == [["secret"]]


class TestSecrecy:
    def test_a_secret_value_is_nowhere_else(self) -> None:
        made = blueprint(FULL)
        for one in render(made, Mode.UP).objects:
            if one["kind"] != "Secret":
                assert CANARY not in json.dumps(one)
        assert CANARY not in f"{made.problems}{made.warnings}{made.effective.provenance}"

    def test_hashes_of_it_differ_from_instance_to_instance(self) -> None:
        one, other = blueprint(FULL), blueprint(FULL, name="web-2")
        assert revision(one) != revision(other)
        assert checksum(one) != checksum(other)
        assert revision(blueprint(PORT)) == revision(blueprint(PORT, name="web-2"))


def checksum(made: Blueprint) -> str | None:
    found: str | None = pod_template(made)["metadata"].get("annotations", {}).get("hopper.dev/checksum")
    return found


class TestRestarts:
    """What restarts the pods: the configuration that they read, and what they are."""

    @pytest.mark.parametrize(
        "overrides",
        [
            {"env": [{"name": "PASSWORD", "value": "other"}]},
            {"configFiles": [{"path": "/etc/web/web.conf", "content": "listen 81\n"}]},
            {"env": [{"name": "TZ", "value": "other"}]},
        ],
    )
    def test_configuration_does(self, overrides: Wire) -> None:
        assert pod_template(blueprint(FULL, overrides)) != pod_template(blueprint(FULL))

    @pytest.mark.parametrize(
        "change",
        [
            {"replicas": 5},
            {"reason": "x"},
            {"overrides": {"domains": [{"domain": "new.example.com"}]}},
            {"overrides": {"ports": [{"containerPort": 80, "hostPort": 9000}]}},
            {"config": {"limits": {"maxConcurrentTasks": 1}}},
        ],
    )
    def test_nothing_else_does(self, change: dict[str, Any]) -> None:
        assert pod_template(blueprint(FULL, **change)) == pod_template(blueprint(FULL))

    @pytest.mark.parametrize("mode", [Mode.PAUSED, Mode.STOPPED])
    def test_no_mode_does(self, mode: Mode) -> None:
        assert pod_template(blueprint(FULL), mode) == pod_template(blueprint(FULL))

    def test_no_checksum_without_configuration(self) -> None:
        assert checksum(blueprint(PORT)) is None
        assert "annotations" not in pod_template(blueprint(PORT))["metadata"]


class TestRevision:
    def test_is_on_the_workload(self) -> None:
        made = blueprint(FULL)
        found = render(made, Mode.UP)
        annotations = rendered(made)["Deployment"]["metadata"]["annotations"]
        assert annotations == {"hopper.dev/revision": found.revision}
        assert len(found.revision) == 16

    @pytest.mark.parametrize(
        "overrides",
        [
            {"env": [{"name": "PASSWORD", "value": "other"}]},
            {"env": [{"name": "PASSWORD", "value": "", "secret": True}]},
            {"labels": [{"name": "plain", "$remove": True}]},
            {"healthcheck": {"$remove": True}},
        ],
    )
    def test_changes_with_anything_in_it(self, overrides: Wire) -> None:
        assert revision(blueprint(FULL, overrides)) != revision(blueprint(FULL))

    def test_stays_where_nothing_comes_of_it(self) -> None:
        shuffled = {**FULL, "env": list(reversed(FULL["env"])), "ports": list(reversed(FULL["ports"]))}
        assert revision(blueprint(shuffled)) == revision(blueprint(FULL))
        same = {"env": [{"name": "TZ", "value": "Etc/UTC"}]}
        assert revision(blueprint(FULL, same)) == revision(blueprint(FULL))


class TestNetwork:
    def test_service(self) -> None:
        assert rendered(blueprint(FULL))["Service"]["spec"] == {
            "type": "ClusterIP",
            "selector": {"hopper.dev/instance": "web-1"},
            "ports": [
                {"name": "tcp-8080", "port": 8080, "targetPort": 80, "protocol": "TCP"},
                {"name": "tcp-443", "port": 443, "targetPort": 443, "protocol": "TCP"},
                {"name": "udp-443", "port": 443, "targetPort": 443, "protocol": "UDP"},
            ],
        }

    def test_ingress(self) -> None:
        def rule(host: str, port: int) -> dict[str, Any]:
            backend = {"service": {"name": BASE, "port": {"number": port}}}
            return {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}

        spec = rendered(blueprint(FULL))["Ingress"]["spec"]
        assert spec == {"rules": [rule("*.example.org", 443), rule("web.example.com", 8080)]}

    def test_a_domain_leads_to_the_lowest_tcp_port(self) -> None:
        ports = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 9000}, {"containerPort": 80}]
        made = rendered(blueprint({"ports": ports, "domains": [{"domain": "a.b"}]}))
        backend = made["Ingress"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]
        assert backend["service"]["port"] == {"number": 80}


class TestDeterminism:
    @given(OVERRIDES)
    def test_the_same_goes_in_the_same_comes_out(self, overrides: Overrides) -> None:
        subject, kind = instance(), template()
        subject = replace(subject, spec=replace(subject.spec, overrides=overrides))
        before = copy.deepcopy((subject, kind))
        first, second = (prepare(subject, (PROJECT,), kind) for _ in range(2))
        assert first == second
        assert (subject, kind) == before
        if not first.problems:
            assert json.dumps(render(first, Mode.UP).objects) == json.dumps(render(second, Mode.UP).objects)

    def test_labels_of_the_user_never_win(self) -> None:
        labels = pod_template(blueprint(FULL))["metadata"]["labels"]
        assert labels["example.com/tier"] == "web"
        assert labels["hopper.dev/instance"] == "web-1"
