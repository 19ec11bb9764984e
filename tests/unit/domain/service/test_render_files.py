"""Rendered volumes and configuration files. Secret values are only in Secrets."""

from __future__ import annotations

import json
import re
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.domain.service.config_files import ConfigFile
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
    def test_a_claim_with_two_mounts_is_one_volume(self) -> None:
        subject = blueprint(FULL)
        claims = [volume for volume in pod(subject)["volumes"] if "persistentVolumeClaim" in volume]
        assert [volume["persistentVolumeClaim"]["claimName"] for volume in claims] == [f"{BASE}-web-data", "archive"]
        mounts = [mount for mount in container(subject)["volumeMounts"] if mount["name"] == claims[0]["name"]]
        assert [(mount["mountPath"], mount.get("readOnly")) for mount in mounts] == [("/backup", True), ("/data", None)]

    @pytest.mark.parametrize(
        ("sizes", "expected"), [((None,), "1Gi"), (("0.5Gi",), "512Mi"), (("1Gi", None, "2Gi"), "2Gi")]
    )
    def test_a_claim_has_the_largest_requested_size(self, sizes: tuple[str | None, ...], expected: str) -> None:
        volumes = [{"target": f"/{n}", "source": "x", "size": size} for n, size in enumerate(sizes)]
        claim = rendered(blueprint({"volumes": volumes}))["PersistentVolumeClaim"]
        assert claim["spec"] == {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": expected}},
        }

    def test_an_existing_config_map_is_mounted_read_only(self) -> None:
        subject = blueprint({"volumes": [{"target": "/settings/", "type": "config", "source": "settings"}]})
        assert pod(subject)["volumes"] == [
            {"name": "config-settings", "configMap": {"name": "settings", "defaultMode": 0o644}}
        ]
        assert container(subject)["volumeMounts"] == [
            {"name": "config-settings", "mountPath": "/settings", "readOnly": True}
        ]

    def test_each_kind_of_volume_has_its_own_name(self) -> None:
        kinds = ({"type": "tmpfs"}, {"source": "data"}, {"type": "config", "source": "data"})
        kinds = (*kinds, {"source": "data", "external": True})
        names = [pod(blueprint({"volumes": [{"target": "/data", **kind}]}))["volumes"][0]["name"] for kind in kinds]
        assert len(set(names)) == len(names)


class TestFiles:
    def test_each_file_is_mounted_on_its_own(self) -> None:
        subject = blueprint(FULL)
        mounts = [mount for mount in container(subject)["volumeMounts"] if mount["name"] == "files"]
        assert [(mount["mountPath"], mount["subPath"], mount["readOnly"]) for mount in mounts] == [
            ("/etc/web/motd", "-etc-web-motd", True),
            ("/etc/web/pass_word", "-etc-web-pass_word", True),
            ("/etc/web/web.conf", "-etc-web-web.conf", True),
        ]
        (volume,) = [volume for volume in pod(subject)["volumes"] if volume["name"] == "files"]
        config, secret = volume["projected"]["sources"]
        assert config["configMap"]["items"] == [
            {"key": "-etc-web-motd", "path": "-etc-web-motd", "mode": 0o644},
            {"key": "-etc-web-web.conf", "path": "-etc-web-web.conf", "mode": 0o600},
        ]
        assert secret["secret"]["items"] == [{"key": "-etc-web-pass_word", "path": "-etc-web-pass_word", "mode": 0o644}]

    def test_files_come_from_existing_objects(self) -> None:
        def content_from(kind: str, name: str, key: str) -> Wire:
            return {"contentFrom": {kind: {"name": name, "key": key}}}

        subject = blueprint(
            {
                "configFiles": [
                    {"path": "/run/secrets/a", "mode": "0400", **content_from("secretKeyRef", "shared", "one")},
                    {"path": "/run/secrets/b", **content_from("secretKeyRef", "shared", "two")},
                    {"path": "/etc/c", **content_from("configMapKeyRef", "shared", "one")},
                    {"path": "/etc/own", "content": "x"},
                ],
            }
        )
        (volume,) = (volume for volume in pod(subject)["volumes"] if volume["name"] == "files")
        assert [
            (kind, source["name"], [(item["key"], item["path"], item["mode"]) for item in source["items"]])
            for projection in volume["projected"]["sources"]
            for kind, source in projection.items()
        ] == [
            ("configMap", BASE, [("-etc-own", "-etc-own", 0o644)]),
            ("configMap", "shared", [("one", "-etc-c", 0o644)]),
            ("secret", "shared", [("one", "-run-secrets-a", 0o400), ("two", "-run-secrets-b", 0o644)]),
        ]
        mounted = {mount["mountPath"]: mount["subPath"] for mount in container(subject)["volumeMounts"]}
        assert mounted["/run/secrets/a"] == "-run-secrets-a"
        assert rendered(subject)["ConfigMap"]["data"] == {"-etc-own": "x"}
        assert "Secret" not in rendered(subject)

    def test_templated_files_use_the_values_of_the_instance(self) -> None:
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
            ("{{ env.A }} {{ env.NONE | default('-') }}", "1 -"),
        ],
    )
    def test_templated_files_can_use_each_documented_value(self, text: str, expected: str) -> None:
        subject = blueprint(
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
        assert subject.problems == ()
        assert rendered(subject)["ConfigMap"]["data"] == {"-x": expected}

    def test_a_file_with_a_secret_value_is_in_the_secret(self) -> None:
        objects = rendered(blueprint(FULL))
        data = {key: b64decode(value).decode() for key, value in objects["Secret"]["data"].items()}
        assert data.pop(".checksum-key") == "key"
        assert data == {"PASSWORD": CANARY, "-etc-web-pass_word": f"password={CANARY}\n"}

    @pytest.mark.parametrize(
        ("text", "secret"),
        [
            ("{{ env.P }}", True),
            ("{{ env['P'] }}", True),
            ("{{ env.P | default('x') }}", True),
            ("{{ env.Q }}", False),
            ("{{ env.NONE | default('x') }}", False),
            ("plain", False),
        ],
    )
    def test_a_file_that_reads_a_secret_value_is_secret(self, text: str, secret: bool) -> None:
        env = [{"name": "P", "value": "x", "secret": True}, {"name": "Q", "value": "1"}]
        subject = blueprint({"env": env, "configFiles": [{"path": "/x", "content": text, "template": True}]})
        assert [file.secret for file in subject.files] == [secret]

    def test_all_files_can_be_secret(self) -> None:
        env = [{"name": "P", "value": "x", "secret": True}]
        subject = blueprint({"env": env, "configFiles": [{"path": "/x", "content": "{{ env.P }}", "template": True}]})
        (volume,) = pod(subject)["volumes"]
        assert [list(source) for source in volume["projected"]["sources"]] == [["secret"]]


class TestFileKeys:
    @pytest.mark.parametrize(
        ("path", "key"),
        [
            ("/etc/app.conf", "-etc-app.conf"),
            ("/etc/my_app/x", "-etc-my_app-x"),
            ("/..x", "-..x"),
        ],
    )
    def test_keys_resemble_the_path(self, path: str, key: str) -> None:
        assert ConfigFile(path, "", 0).key == key

    @given(
        st.from_regex(r"(/[^/\x00]{1,40}){1,9}", fullmatch=True), st.from_regex(r"(/[ab-]{1,4}){1,3}", fullmatch=True)
    )
    def test_keys_are_valid_and_unique(self, one: str, other: str) -> None:
        first, second = ConfigFile(one, "", 0).key, ConfigFile(other, "", 0).key
        assert re.fullmatch(r"-[-._a-zA-Z0-9]{1,252}", first)
        assert (first == second) is (one == other)

    def test_similar_paths_have_different_keys(self) -> None:
        paths = ["/a/b", "/a-b", "/a b", "/a/b ", "/ä", "/ö", "/" + "x" * 300, "/" + "x" * 301]
        assert len({ConfigFile(path, "", 0).key for path in paths}) == len(paths)


class TestSecrecy:
    def test_secret_values_are_only_in_the_secret(self) -> None:
        subject = blueprint(FULL)
        for manifest in render_objects(subject, Mode.UP).objects:
            if manifest["kind"] != "Secret":
                assert CANARY not in json.dumps(manifest)
        assert CANARY not in f"{subject.problems}{subject.warnings}{subject.effective.provenance}"

    def test_hashes_of_secret_values_differ_between_instances(self) -> None:
        one, other = blueprint(FULL), blueprint(FULL, name="web-2")
        assert revision(one) != revision(other)
        assert checksum(one) != checksum(other)
        assert revision(blueprint(PORT)) == revision(blueprint(PORT, name="web-2"))
