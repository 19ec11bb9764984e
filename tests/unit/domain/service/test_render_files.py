"""Volumes and configuration files, and that secrets stay in Secrets."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest

from hopper.domain.service.render import Mode, render_objects
from hopper.domain.service.revision import revision
from tests.unit.domain.service.samples import (
    BASE,
    FULL,
    PORT,
    Wire,
    blueprint,
    checksum,
    container,
    pod,
    rendered,
)

CANARY = "s3cret-canary"


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
        for one in render_objects(made, Mode.UP).objects:
            if one["kind"] != "Secret":
                assert CANARY not in json.dumps(one)
        assert CANARY not in f"{made.problems}{made.warnings}{made.effective.provenance}"

    def test_hashes_of_it_differ_from_instance_to_instance(self) -> None:
        one, other = blueprint(FULL), blueprint(FULL, name="web-2")
        assert revision(one) != revision(other)
        assert checksum(one) != checksum(other)
        assert revision(blueprint(PORT)) == revision(blueprint(PORT, name="web-2"))
