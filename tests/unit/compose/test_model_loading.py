"""Loading of models: documents, override files, `include`, `extends`, directories, and the first format."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopper.compose.convert import Conversion, convert
from hopper.compose.reading.merge import merge_service
from hopper.compose.report import ComposeError
from tests.unit.compose.compose_directory import ComposeDirectory, ConversionResult


def convert_paths(*paths: Path, stack: str | None = None) -> Conversion:
    return convert(paths, stack=stack)


def names(conversion: Conversion) -> list[str]:
    return [service.name for service in conversion.services]


class TestMerging:
    @pytest.mark.parametrize(
        ("base", "override", "merged"),
        [
            ({"image": "a"}, {"image": "b"}, {"image": "b"}),
            ({"command": ["a", "b"]}, {"command": ["c"]}, {"command": ["c"]}),
            ({"expose": [1]}, {"expose": [1, 2]}, {"expose": [1, 2]}),
            ({"environment": ["A=1", "B=1"]}, {"environment": {"B": 2}}, {"environment": {"A": "1", "B": 2}}),
            ({"labels": {"a": "1"}}, {"labels": ["b"]}, {"labels": {"a": "1", "b": None}}),
            ({"volumes": ["x:/a", "y:/b"]}, {"volumes": ["z:/a:ro"]}, {"volumes": ["z:/a:ro", "y:/b"]}),
            ({"volumes": ["x:/a"]}, {"volumes": [{"target": "/a"}]}, {"volumes": [{"target": "/a"}]}),
            ({"ports": ["80:80"]}, {"ports": ["80:80", "81:80"]}, {"ports": ["80:80", "81:80"]}),
            ({"configs": ["a"]}, {"configs": [{"source": "a", "target": "/x"}]}, None),
            ({"dns": "1.1.1.1"}, {"dns": ["8.8.8.8"]}, {"dns": ["1.1.1.1", "8.8.8.8"]}),
            ({"env_file": "a"}, {"env_file": "b"}, {"env_file": ["a", "b"]}),
            ({"healthcheck": {"test": ["a"], "retries": 1}}, {"healthcheck": {"test": ["b"]}}, None),
            (
                {"logging": {"driver": "a", "options": {"x": 1}}},
                {"logging": {"driver": "b"}},
                {"logging": {"driver": "b"}},
            ),
            ({"depends_on": ["a"]}, {"depends_on": {"b": {"condition": "service_healthy"}}}, None),
            ({"ports": ["1"]}, {"ports": None}, {"ports": ["1"]}),
        ],
    )
    def test_services_are_merged_by_key(
        self, base: dict[str, object], override: dict[str, object], merged: dict[str, object] | None
    ) -> None:
        result = merge_service(base, override)
        if merged is not None:
            assert result == merged

    def test_nested_values_are_merged(self) -> None:
        assert merge_service({"configs": ["a"]}, {"configs": [{"source": "b"}]})["configs"] == ["a", {"source": "b"}]
        check = merge_service({"healthcheck": {"test": ["a"], "retries": 1}}, {"healthcheck": {"test": ["b"]}})
        assert check["healthcheck"] == {"test": ["b"], "retries": 1}
        dependencies = merge_service({"depends_on": ["a"]}, {"depends_on": {"b": {"condition": "service_healthy"}}})
        assert dependencies["depends_on"] == {
            "a": {"condition": "service_started"},
            "b": {"condition": "service_healthy"},
        }


def test_several_documents_are_merged(project: ComposeDirectory) -> None:
    result = project.convert("services: {app: {image: a, expose: [1]}}\n---\nservices: {app: {image: b, expose: [2]}}")
    assert result.spec().image == "b"
    assert [port.container_port for port in result.spec().ports] == [1, 2]


class TestOverrideFiles:
    def test_the_override_file_of_a_directory_is_merged(self, project: ComposeDirectory) -> None:
        project.write("compose.yaml", "services: {app: {image: a, ports: ['80:80'], dns: 1.1.1.1, user: '5'}}")
        project.write(
            "compose.override.yaml",
            "services: {app: {image: b, ports: !override ['81:80'], dns: !reset null, user: !reset null}}",
        )
        result = ConversionResult(convert_paths(project.directory))
        assert result.spec().image == "b"
        assert [port.host_port for port in result.spec().ports] == [81]
        assert result.spec().user is None
        assert "dns" not in result.dropped

    def test_a_file_is_converted_without_its_override_file(self, project: ComposeDirectory) -> None:
        main = project.write("compose.yaml", "services: {app: {image: a}}")
        project.write("compose.override.yaml", "services: {app: {image: b}}")
        assert ConversionResult(convert_paths(main)).spec().image == "a"

    def test_docker_compose_names_are_paired(self, project: ComposeDirectory) -> None:
        project.write("docker-compose.yml", "services: {app: {image: a}}")
        project.write("docker-compose.override.yml", "services: {app: {image: b}}")
        assert ConversionResult(convert_paths(project.directory)).spec().image == "b"


class TestDirectories:
    def test_compose_file_in_dot_env_names_the_files(self, project: ComposeDirectory) -> None:
        project.write(".env", "COMPOSE_FILE=base.yml:prod/more.yml\n")
        project.write("compose.yaml", "services: {other: {image: a}}")
        project.write("base.yml", "services: {app: {image: a, user: '5'}}")
        project.write(
            "prod/more.yml", "services: {app: {image: b, volumes: ['./x.conf:/x'], extends: {file: e.yml, service: e}}}"
        )
        project.write("e.yml", "services: {e: {working_dir: /right}}")
        project.write("prod/e.yml", "services: {e: {working_dir: /wrong}}")
        project.write("x.conf", "right")
        project.write("prod/x.conf", "wrong")
        result = ConversionResult(convert_paths(project.directory))
        assert names(result.conversion) == ["app"]
        assert (result.spec().image, result.spec().user) == ("b", "5")
        # Paths are relative to the directory of the first file.
        assert result.spec().working_dir == "/right"
        assert [file.content for file in result.spec().config_files] == ["right"]
        assert result.notes[""].message == "other YAML files in the directory were not read: compose.yaml"

    def test_the_dot_env_that_names_the_files_also_sets_variables(self, project: ComposeDirectory) -> None:
        project.write(".env", "COMPOSE_FILE=docker/compose.yml\nTAG=7\n")
        project.write("docker/compose.yml", "services: {app: {image: 'a:${TAG}'}}")
        assert ConversionResult(convert_paths(project.directory)).spec().image == "a:7"

    def test_other_yaml_files_in_the_directory_are_noted(self, project: ComposeDirectory) -> None:
        project.write("compose.yaml", "services: {app: {image: a}}")
        project.write("redis.yml", "services: {redis: {image: a}}")
        result = ConversionResult(convert_paths(project.directory))
        assert names(result.conversion) == ["app"]
        assert result.notes[""].message == "other YAML files in the directory were not read: redis.yml"

    def test_without_a_compose_file_all_yaml_files_are_read(self, project: ComposeDirectory) -> None:
        project.write("a.yml", "services: {one: {image: a}}")
        project.write("b.yaml", "services: {two: {image: a}}")
        project.write("notes.txt", "nothing")
        assert names(convert_paths(project.directory)) == ["one", "two"]

    def test_without_yaml_files_subdirectories_are_searched(self, project: ComposeDirectory) -> None:
        project.write("x/compose.yaml", "services: {one: {image: a}}")
        project.write("y/z/docker-compose.yml", "services: {two: {image: a}}")
        project.write(".hidden/compose.yaml", "services: {three: {image: a}}")
        assert names(convert_paths(project.directory)) == ["one", "two"]

    def test_a_path_without_compose_files_is_a_problem(self, project: ComposeDirectory) -> None:
        with pytest.raises(ComposeError, match="the directory contains no YAML file"):
            convert_paths(project.directory)
        with pytest.raises(ComposeError, match="the file is missing: check the path"):
            convert_paths(project.directory / "none.yml")

    def test_a_file_named_twice_is_read_once(self, project: ComposeDirectory) -> None:
        path = project.write("a.yml", "services: {one: {image: a}}")
        assert names(convert_paths(path, project.directory, path)) == ["one"]


class TestSeveralFiles:
    def test_services_of_equal_names_get_numbers(self, project: ComposeDirectory) -> None:
        first = project.write("a.yml", "services: {db: {image: a}, app: {image: a, depends_on: [db]}}")
        second = project.write("b.yml", "services: {db: {image: b}, app: {image: b, depends_on: [db]}}")
        result = convert_paths(first, second, stack="s")
        assert names(result) == ["db", "app", "db-2", "app-2"]
        assert result.services[3].spec.depends_on == ("db-2",)
        assert sum("another service is already named" in finding.message for finding in result.findings) == 2

    def test_services_refer_to_services_of_other_files(self, project: ComposeDirectory) -> None:
        first = project.write(
            "a.yml", "services: {app: {image: a, depends_on: [my_db], environment: {DB_HOST: my_db}}}"
        )
        second = project.write("b.yml", "services: {my_db: {image: postgres, ports: ['5432']}}")
        result = ConversionResult(convert_paths(first, second, stack="s"))
        assert result.spec().depends_on == ("my-db",)
        assert "hopper-s-my-db" in result.changed["environment.DB_HOST"].message

    def test_the_problems_of_all_files_are_reported(self, project: ComposeDirectory) -> None:
        first = project.write("a.yml", "services: {db: {image: a, ports: [x]}}")
        second = project.write("b.yml", "services: {db: {ports: 5}}")
        with pytest.raises(ComposeError) as caught:
            convert_paths(first, second)
        assert {Path(problem.file).name for problem in caught.value.problems} == {"a.yml", "b.yml"}


class TestExtends:
    def test_services_extend_services_in_the_same_file(self, project: ComposeDirectory) -> None:
        result = project.convert(
            """
            services:
              app: {extends: {service: base}, environment: {A: 2}}
              base: {extends: root, image: b, environment: {A: 1, B: 1}}
              root: {image: a, user: "5", command: [x]}
            """
        )
        assert (result.spec().image, result.spec().user, result.spec().args) == ("b", "5", ("x",))
        assert {entry.name: entry.value for entry in result.spec().env} == {"A": "2", "B": "1"}

    def test_paths_of_extended_services_are_relative_to_their_file(self, project: ComposeDirectory) -> None:
        project.write("common/base.env", "FROM=base\n")
        project.write("common/a.conf", "a=1\n")
        project.write("common/b.conf", "b=1\n")
        project.write(
            "common/base.yaml",
            """
services:
  base:
    image: b
    env_file: base.env
    volumes: ["./a.conf:/a.conf", "named:/data", {type: bind, source: ./b.conf, target: /b.conf}]
    x-devarch-config: {a.conf: /c.conf}
""",
        )
        result = project.app("extends: {file: common/base.yaml, service: base}")
        assert [entry.value for entry in result.spec().env] == ["base"]
        assert [file.path for file in result.spec().config_files] == ["/c.conf", "/a.conf", "/b.conf"]

    def test_a_missing_extended_file_is_reported(self, project: ComposeDirectory) -> None:
        result = project.convert("services: {app: {extends: {file: gone.yaml, service: x}, user: '5'}}")
        assert result.spec().user == "5"
        assert result.spec().image == "shop-app:latest"
        assert "gone" not in result.dropped["extends"].message
        assert "is missing" in result.dropped["extends"].message

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("services: {app: {extends: other}, other: {extends: app}}", "in a cycle"),
            ("services: {app: {extends: app}}", "in a cycle"),
            ("services: {app: {image: a, extends: none}}", "compose.yaml contains no service none"),
            ("services: {app: {image: a, extends: {file: compose.yaml}}}", "names no service"),
        ],
    )
    def test_invalid_extends_are_problems(self, project: ComposeDirectory, text: str, message: str) -> None:
        assert any(message in problem for problem in project.problems(text))

    def test_cycles_through_directories_are_problems(self, project: ComposeDirectory) -> None:
        project.write("a/x.yaml", "services: {x: {extends: {file: ../b/y.yaml, service: y}}}")
        project.write("b/y.yaml", "services: {y: {extends: {file: ../a/x.yaml, service: x}}}")
        problems = project.problems("services: {app: {image: a, extends: {file: a/x.yaml, service: x}}}")
        assert "in a cycle" in problems[0]

    def test_only_variables_of_the_extended_service_are_reported(self, project: ComposeDirectory) -> None:
        project.write("base.yaml", "services: {x: {image: 'a:$USED'}, y: {image: 'a:$UNUSED'}}")
        result = project.convert("services: {app: {extends: {file: base.yaml, service: x}}}")
        assert [finding.message for finding in result.dropped.values()] == ["the variable USED has no value"]


class TestInclude:
    def test_included_files_have_their_own_paths_and_variables(self, project: ComposeDirectory) -> None:
        project.write(".env", "BOTH=outer\n")
        project.write("sub/.env", "BOTH=inner\nOWN=inner\n")
        project.write("sub/db.env", "X=1\n")
        project.write("sub/compose.yaml", "services: {db: {image: 'db:$BOTH-$OWN', env_file: db.env}}")
        result = project.convert("include: [sub/compose.yaml]\nservices: {app: {image: a, depends_on: [db]}}")
        assert result.spec("db").image == "db:outer-inner"
        assert [entry.name for entry in result.spec("db").env] == ["X"]
        assert result.spec().depends_on == ("db",)

    def test_the_long_form_of_include(self, project: ComposeDirectory) -> None:
        project.write("conf/a.yaml", "services: {db: {image: 'a:$T', volumes: ['./x.conf:/x.conf']}}")
        project.write("conf/b.yaml", "services: {db: {user: '5'}}")
        project.write("own.env", "T=7\n")
        project.write("x.conf", "x=1\n")
        result = project.convert(
            "include: [{path: [conf/a.yaml, conf/b.yaml], env_file: own.env, project_directory: ., other: 1}]"
        )
        assert (result.spec("db").image, result.spec("db").user) == ("a:7", "5")
        assert [file.path for file in result.spec("db").config_files] == ["/x.conf"]
        assert "include.other" in result.dropped

    def test_missing_and_remote_includes_are_reported(self, project: ComposeDirectory) -> None:
        for path in ("gone.yaml", "oci://registry/x", "https://example.com/x.yaml", "{}"):
            result = project.convert(f"include: [{path}]\nservices: {{app: {{image: a}}}}")
            assert "include" in result.dropped

    def test_conflicts_and_cycles_of_includes_are_problems(self, project: ComposeDirectory) -> None:
        project.write("a.yaml", "services: {app: {image: b}}")
        assert (
            "an included file contains another entry of this name"
            in project.problems("include: [a.yaml]\nservices: {app: {image: a}}")[0]
        )
        assert "in a cycle" in project.problems("include: [compose.yaml]\nservices: {app: {image: a}}")[0]

    def test_included_services_can_be_overridden(self, project: ComposeDirectory) -> None:
        project.write("a.yaml", "services: {db: {image: b, ports: ['1:1'], environment: {A: a}}}")
        project.write("b.yaml", "services: {more: {image: c}}")
        project.write(
            "compose.override.yaml",
            "include: [b.yaml]\nservices: {db: {ports: !override ['2:2'], environment: {B: b}}}",
        )
        project.write("compose.yaml", "include: [a.yaml]\nservices: {app: {image: a}}\n---\ninclude: [./a.yaml]")
        result = ConversionResult(convert_paths(project.directory))
        assert set(names(result.conversion)) == {"app", "db", "more"}
        assert result.spec("db").image == "b"
        assert [port.container_port for port in result.spec("db").ports] == [2]
        assert [entry.name for entry in result.spec("db").env] == ["A", "B"]

    def test_the_number_of_includes_is_limited(self, project: ComposeDirectory) -> None:
        for number in range(30):
            project.write(f"{number}.yaml", f"include: [{number + 1}.yaml, ./{number + 1}.yaml]")
        assert "more than 256 files are included" in project.problems("include: [0.yaml]")[0]

    def test_a_file_can_be_included_twice(self, project: ComposeDirectory) -> None:
        project.write("a.yaml", "services: {db: {image: b}}")
        result = project.convert("include: [a.yaml, ./a.yaml]\nservices: {app: {image: a}}")
        assert set(names(result.conversion)) == {"app", "db"}


def test_the_first_format_is_converted(project: ComposeDirectory) -> None:
    result = project.convert("web:\n  image: a\n  links: [db]\ndb:\n  image: postgres\n")
    assert names(result.conversion) == ["web", "db"]
    assert "first format" in result.notes[""].message


def test_unsupported_sections_at_the_top_level_are_reported(project: ComposeDirectory) -> None:
    result = project.convert(
        """
        version: "3"
        name: other
        services: {app: {image: a}}
        networks: {a: {}, b: {}}
        models: {m: {model: x}}
        x-own: 1
        bogus: 1
        """
    )
    assert {"models", "bogus"} == result.dropped.keys()
    assert {"version", "networks", "x-own", "securityProfile"} == result.notes.keys()
