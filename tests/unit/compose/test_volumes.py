"""Conversion of `volumes`, `tmpfs`, `shm_size` and `configs` into volumes and config files."""

from __future__ import annotations

import os

import pytest

from hopper.api.service import EnvSource, KeyRef, VolumeEntry
from hopper.compose.convert import convert
from tests.unit.compose.compose_directory import ComposeDirectory

TOP = "\nvolumes: {data: {}, Big_Data: {}}"


def volume_text(volume: VolumeEntry) -> str:
    """Write a volume as type source>target and flags."""
    flags = f"{' ro' if volume.read_only else ''}{' external' if volume.external else ''}"
    return f"{volume.type} {volume.source or ''}>{volume.target}{flags}{f' {volume.size}' if volume.size else ''}"


def convert_volumes(project: ComposeDirectory, entry: str) -> list[str]:
    result = project.convert(f"services: {{app: {{image: a, volumes: [{entry}]}}}}{TOP}")
    return [volume_text(volume) for volume in result.spec().volumes]


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ('"data:/data"', "volume data>/data"),
        ('"data:/data:ro"', "volume data>/data ro"),
        ('"data:/data:rw,z,nocopy"', "volume data>/data"),
        ('"data:/data/:Z"', "volume data>/data"),
        ('"Big_Data:/data"', "volume big-data>/data"),
        ('"/data"', "volume >/data"),
        ('"data://data/./x"', "volume data>/data/x"),
        ("{type: volume, source: data, target: /data, read_only: true}", "volume data>/data ro"),
        ("{type: volume, target: /data}", "volume >/data"),
        ("{type: volume, source: data, target: /data, volume: {nocopy: true}}", "volume data>/data"),
        ("{type: tmpfs, target: /run}", "tmpfs >/run"),
        ("{type: tmpfs, target: /run, tmpfs: {size: 64m}}", "tmpfs >/run 64Mi"),
        ("{type: tmpfs, target: /run, tmpfs: {size: 1000}}", "tmpfs >/run 1000"),
    ],
)
def test_all_forms_are_converted(project: ComposeDirectory, text: str, volume: str) -> None:
    assert convert_volumes(project, text) == [volume]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('"/var/run/docker.sock:/var/run/docker.sock"', "no Docker daemon"),
        ('"/etc/localtime:/etc/localtime:ro"', "Set the variable TZ"),
        ('"/proc:/host/proc"', "DaemonSet"),
        ('"/:/rootfs"', "DaemonSet"),
        ('"/srv/data:/data"', "named volume"),
        ('"~/data:/data"', "named volume"),
        ("'C:\\data:/data'", "named volume"),
        ('"./nowhere:/data"', "named volume"),
        ('"../outside:/data"', "beside the compose file"),
        ('"./directory:/data"', "one by one"),
        ('"./binary:/data"', "into the image"),
        ('"./large:/data"', "into the image"),
        ("{type: npipe, source: a, target: /data}", "named volume"),
        ("{type: image, source: a, target: /data}", "named volume"),
        ('"data:/dev/data"', "another path"),
        ("'data:C:\\data'", "begins with /"),
        ('"data:/"', "Use a path below /"),
        ('"data:/data:noexec"', "Remove it"),
    ],
)
def test_mounts_that_are_left_out_have_advice(project: ComposeDirectory, text: str, advice: str) -> None:
    (project.directory / "directory").mkdir()
    project.write("binary", b"\xff\xfe\0")
    project.write("large", "x" * (256 * 1024 + 1))
    result = project.convert(f"services: {{app: {{image: a, volumes: [{text}]}}}}{TOP}")
    (finding,) = result.dropped.values()
    assert advice in finding.advice


@pytest.mark.parametrize("text", ['"a:b:c:d"', '""', '":/data"', '"data:"', "{type: bind, target: /data}"])
def test_invalid_volumes_are_problems(project: ComposeDirectory, text: str) -> None:
    (problem,) = project.app_problems(f"volumes: [{text}]")
    assert problem.startswith("compose.yaml: service app: volumes[0]: ")


class TestSingleFiles:
    def test_a_mounted_file_becomes_a_config_file(self, project: ComposeDirectory) -> None:
        project.write("nginx.conf", "events {}\n")
        result = project.app("volumes: ['./nginx.conf:/etc/nginx/nginx.conf:ro']")
        (file,) = result.spec().config_files
        assert (file.path, file.content, file.mode) == ("/etc/nginx/nginx.conf", "events {}\n", "0644")
        assert result.spec().volumes == ()
        assert "became the config file" in result.changed["volumes[0]"].message

    def test_executable_files_stay_executable(self, project: ComposeDirectory) -> None:
        project.write("init.sh", "#!/bin/sh\n").chmod(0o755)
        (file,) = project.app("volumes: ['./init.sh:/init.sh']").spec().config_files
        assert file.mode == "0755"

    def test_files_outside_the_directory_are_not_read(self, project: ComposeDirectory) -> None:
        secret = project.directory.parent / "secret"
        secret.write_text("far away")
        (project.directory / "link").symlink_to(secret)
        result = project.app("volumes: ['./link:/data', '../secret:/other']")
        assert result.spec().config_files == ()
        assert all("outside the directory" in finding.message for finding in result.dropped.values())

    def test_the_compose_file_can_be_a_symbolic_link(self, project: ComposeDirectory) -> None:
        far = project.directory.parent / "far.yaml"
        far.write_text("services: {app: {image: a, volumes: ['./near.conf:/a.conf']}}")
        project.write("near.conf", "a=1\n")
        (project.directory / "link.yaml").symlink_to(far)
        (service,) = convert([project.directory / "link.yaml"]).services
        assert service.spec.config_files[0].content == "a=1\n"

    def test_a_root_allows_files_above_the_compose_file(self, project: ComposeDirectory) -> None:
        (project.directory.parent / "shared.conf").write_text("a=1\n")
        result = project.app("volumes: ['../shared.conf:/shared.conf']", root=project.directory.parent)
        assert result.spec().config_files[0].content == "a=1\n"

    def test_named_pipes_are_not_read(self, project: ComposeDirectory) -> None:
        os.mkfifo(project.directory / "pipe")
        assert "not a regular file" in project.app("volumes: ['./pipe:/x']").dropped["volumes[0]"].message

    def test_a_config_file_replaces_a_volume_at_its_path(self, project: ComposeDirectory) -> None:
        project.write("app.conf", "a=1\n")
        result = project.app("volumes: ['conf:/etc/app.conf']\nx-devarch-config: {app.conf: /etc/app.conf}")
        assert [file.path for file in result.spec().config_files] == ["/etc/app.conf"]
        assert "a config file has the same path" in result.dropped["volumes[0]"].message


class TestNamedVolumes:
    def test_external_volumes_must_exist(self, project: ComposeDirectory) -> None:
        result = project.convert(
            """
            services: {app: {image: a, volumes: ["a:/a", "b:/b", "c:/c"]}}
            volumes: {a: {external: true}, b: {external: {name: Old_Name}}, c: {external: true, name: new-name}}
            """
        )
        assert [volume_text(volume) for volume in result.spec().volumes] == [
            "volume a>/a external",
            "volume old-name>/b external",
            "volume new-name>/c external",
        ]
        assert "PersistentVolumeClaim old-name must exist" in result.changed["volumes.b.external"].message

    def test_drivers_and_their_options_are_reported(self, project: ComposeDirectory) -> None:
        result = project.convert(
            """
            services: {app: {image: a, volumes: ["nfs:/nfs", "ram:/ram", "bind:/bind", "other:/other"]}}
            volumes:
              nfs: {driver_opts: {type: nfs, o: "addr=10.0.0.1", device: ":/x"}}
              ram: {driver_opts: {type: tmpfs, device: tmpfs, o: "size=100m,uid=1000"}}
              bind: {driver: local, driver_opts: {type: none, o: bind, device: /srv}, labels: {a: b}}
              other: {driver: rexray, driver_opts: {size: 10}}
            """
        )
        assert [volume_text(volume) for volume in result.spec().volumes] == [
            "volume nfs>/nfs",
            "tmpfs >/ram 100Mi",
            "volume bind>/bind",
            "volume other>/other",
        ]
        assert {
            "volumes.nfs.driver_opts.device",
            "volumes.bind.driver_opts.device",
            "volumes.bind.labels",
            "volumes.other.driver",
            "volumes.other.driver_opts.size",
        } == result.dropped.keys()

    def test_similar_names_become_different_claims(self, project: ComposeDirectory) -> None:
        result = project.convert(
            'services: {app: {image: a, volumes: ["a_b:/1", "a-b:/2"]}}\nvolumes: {a_b: {}, a-b: {}}'
        )
        assert len({volume.source for volume in result.spec().volumes}) == 2

    def test_shared_volumes_are_reported(self, project: ComposeDirectory) -> None:
        result = project.convert(
            """
            services:
              app: {image: a, volumes: ["data:/data"]}
              web: {image: a, volumes: ["data:/data:ro", "own:/own"]}
            volumes: {data: {}, own: {}, unused: {}}
            """
        )
        assert "not shared with" in result.dropped["volumes.data"].message
        assert "no service mounts it" in result.notes["volumes.unused"].message

    def test_undeclared_volumes_are_noted(self, project: ComposeDirectory) -> None:
        result = project.app("volumes: ['data:/data']")
        assert [volume_text(volume) for volume in result.spec().volumes] == ["volume data>/data"]
        assert "not declared at the top level" in result.notes["volumes[0]"].message


def test_two_volumes_at_one_path_are_reported(project: ComposeDirectory) -> None:
    result = project.app("volumes: ['/data', 'data:/data/']\ntmpfs: /data")
    assert [volume_text(volume) for volume in result.spec().volumes] == ["volume >/data"]
    assert {"volumes[1]", "tmpfs"} == result.dropped.keys()


def test_tmpfs_becomes_volumes_in_memory(project: ComposeDirectory) -> None:
    result = project.app("tmpfs: ['/run', '/tmp:size=64m,mode=1777,noexec', '/x:size=much']")
    assert [volume_text(volume) for volume in result.spec().volumes] == ["tmpfs >/run", "tmpfs >/tmp 64Mi", "tmpfs >/x"]
    assert "tmpfs" in result.dropped


def test_shm_size_becomes_a_volume_in_memory(project: ComposeDirectory) -> None:
    result = project.app("shm_size: '1gb'")
    assert [volume_text(volume) for volume in result.spec().volumes] == ["tmpfs >/dev/shm 1Gi"]
    assert "shm_size" in result.changed


class TestDevarchConfig:
    def test_files_are_placed_at_their_paths(self, project: ComposeDirectory) -> None:
        project.write("server.properties", "a=1\n")
        project.write("dynamic/routes.yml", "http: {}\n")
        result = project.app(
            "x-devarch-config: {server.properties: /etc/a.properties, dynamic/routes.yml: /etc/dynamic/routes.yml}"
        )
        assert {file.path: file.content for file in result.spec().config_files} == {
            "/etc/a.properties": "a=1\n",
            "/etc/dynamic/routes.yml": "http: {}\n",
        }

    def test_missing_files_are_reported(self, project: ComposeDirectory) -> None:
        result = project.app("x-devarch-config: {a.conf: /etc/a.conf}")
        assert result.dropped["x-devarch-config.a.conf"].message == "a.conf is missing"

    def test_the_compose_file_itself_is_not_placed(self, project: ComposeDirectory) -> None:
        result = project.app("x-devarch-config: {compose.yaml: /etc/a.conf}")
        assert "the compose file itself" in result.dropped["x-devarch-config.compose.yaml"].message

    def test_a_list_is_a_problem(self, project: ComposeDirectory) -> None:
        assert "is not a mapping" in project.app_problems("x-devarch-config: [a]")[0]


class TestConfigs:
    def test_all_kinds_of_configs_are_converted(self, project: ComposeDirectory) -> None:
        project.write("a.conf", "a=1\n")
        result = project.convert(
            """
            services:
              app:
                image: a
                configs:
                  - file
                  - {source: inline, target: /etc/inline.conf, mode: 0440, uid: "1"}
                  - {source: file, target: /etc/file.conf, mode: 0400}
                  - {source: variable, target: /etc/variable.conf, mode: "0755"}
                  - external
                  - nowhere
            configs:
              file: {file: ./a.conf}
              inline: {content: "tag=${TAG:-1}"}
              variable: {environment: CONF}
              external: {external: true, name: shared_v3}
              unused: {content: x}
            """,
            environment={"CONF": "from outside"},
        )
        assert [(file.path, file.content, file.mode) for file in result.spec().config_files] == [
            ("/file", "a=1\n", "0644"),
            ("/etc/inline.conf", "tag=1", "0440"),
            ("/etc/file.conf", "a=1\n", "0400"),
            ("/etc/variable.conf", "from outside", "0755"),
            ("/external", "", "0644"),
        ]
        source = result.spec().config_files[-1].content_from
        assert source == EnvSource(config_map_key_ref=KeyRef(name="shared-v3", key="external"))
        assert "the ConfigMap shared-v3 must exist" in result.changed["configs[4]"].message
        assert {"configs[1].uid", "configs[5]"} == result.dropped.keys()
        assert "no service uses it" in result.notes["configs.unused"].message

    def test_files_with_secrets_are_stored_in_the_secret(self, project: ComposeDirectory) -> None:
        project.write("a.conf", "connect to canary-77 now\n")
        project.write("b/tls.key", "-----BEGIN PRIVATE KEY-----\ncanary-99\n")
        result = project.convert(
            """
            services:
              app:
                image: a
                environment: {DB_PASSWORD: canary-77}
                configs: [file, {source: inline, target: /etc/x/tls.key, mode: 0400}]
                volumes: ["./b/tls.key:/tls/tls.key:ro"]
            configs: {file: {file: a.conf}, inline: {content: "x ${API_TOKEN:-canary-88}"}}
            """
        )
        assert {
            file.path: (file.content, file.mode, file.content_from.secret_key_ref.key)  # type: ignore[union-attr]
            for file in result.spec().config_files
        } == {
            "/file": ("", "0644", "file"),
            "/etc/x/tls.key": ("", "0400", "tls.key"),
            "/tls/tls.key": ("", "0644", "tls.key.file"),
        }
        assert result.secrets() == {
            "DB_PASSWORD": "canary-77",
            "file": "connect to canary-77 now\n",
            "tls.key": "x canary-88",
            "tls.key.file": "-----BEGIN PRIVATE KEY-----\ncanary-99\n",
        }
        assert "contains a secret, so it is stored in the Secret app-secrets" in result.changed["configs[0]"].message
        assert "canary" not in str(result.manifest("HopperTemplate", "app"))

    def test_absolute_paths_below_the_directory_are_read(self, project: ComposeDirectory) -> None:
        path = project.write("conf/a.conf", "a=1\n")
        other = project.write("../shop-2/b.conf", "b=1\n").resolve()
        result = project.app(f"volumes: ['{path}:/a.conf', '{other}:/b.conf']\nnetworks: {{default: null}}")
        assert [file.path for file in result.spec().config_files] == ["/a.conf"]
        assert list(result.dropped) == ["volumes[1]"]

    def test_files_with_names_of_secrets_are_stored_in_the_secret(self, project: ComposeDirectory) -> None:
        project.write("mongo/keyfile", "abcdef")
        project.write("mongo/keymap.conf", "abcdef")
        result = project.app("volumes: ['./mongo/keyfile:/k', './mongo/keymap.conf:/m']")
        assert result.secrets() == {"k": "abcdef"}

    @pytest.mark.parametrize(
        ("line", "secret"),
        [
            ("admin_password = xyz", True),
            ('  "apiToken": "abc"', True),
            ("url: amqp://guest:turtle@mq", True),
            ("password_file: /run/secrets/x", False),
            ("password = $DB_PASSWORD", False),
            ("tokens = true", False),
            ("# password = xyz", False),
        ],
    )
    def test_files_with_credentials_are_stored_in_the_secret(
        self, project: ComposeDirectory, line: str, secret: bool
    ) -> None:
        project.write("a.conf", f"a = 1\n{line}\n")
        result = project.app("volumes: ['./a.conf:/a.conf']")
        assert (result.spec().config_files[0].content_from is not None) == secret
        assert (line in result.secrets().get("a.conf", "")) == secret
