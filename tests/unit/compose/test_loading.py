"""Several documents, override files, `include`, `extends`, directories, and the oldest format."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopper.compose.convert import Conversion, convert
from hopper.compose.errors import ComposeError
from hopper.compose.reading.merge import merge_service
from tests.unit.compose.converting import Project, Result


def imported(*paths: Path, stack: str | None = None) -> Conversion:
    return convert(paths, stack=stack)


def names(conversion: Conversion) -> list[str]:
    return [service.name for service in conversion.services]


class TestMerging:
    @pytest.mark.parametrize(
        ("base", "above", "merged"),
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
    def test_services(
        self, base: dict[str, object], above: dict[str, object], merged: dict[str, object] | None
    ) -> None:
        result = merge_service(base, above)
        if merged is not None:
            assert result == merged

    def test_what_is_not_spelled_out_above(self) -> None:
        assert merge_service({"configs": ["a"]}, {"configs": [{"source": "b"}]})["configs"] == ["a", {"source": "b"}]
        check = merge_service({"healthcheck": {"test": ["a"], "retries": 1}}, {"healthcheck": {"test": ["b"]}})
        assert check["healthcheck"] == {"test": ["b"], "retries": 1}
        dependencies = merge_service({"depends_on": ["a"]}, {"depends_on": {"b": {"condition": "service_healthy"}}})
        assert dependencies["depends_on"] == {
            "a": {"condition": "service_started"},
            "b": {"condition": "service_healthy"},
        }


def test_several_documents_are_merged(project: Project) -> None:
    result = project.convert("services: {app: {image: a, expose: [1]}}\n---\nservices: {app: {image: b, expose: [2]}}")
    assert result.spec().image == "b"
    assert [port.container_port for port in result.spec().ports] == [1, 2]


class TestOverrideFiles:
    def test_they_are_found_and_merged(self, project: Project) -> None:
        project.write("compose.yaml", "services: {app: {image: a, ports: ['80:80'], dns: 1.1.1.1, user: '5'}}")
        project.write(
            "compose.override.yaml",
            "services: {app: {image: b, ports: !override ['81:80'], dns: !reset null, user: !reset null}}",
        )
        result = Result(imported(project.directory))
        assert result.spec().image == "b"
        assert [port.host_port for port in result.spec().ports] == [81]
        assert result.spec().user is None
        assert "dns" not in result.dropped

    def test_a_single_file_stands_for_itself(self, project: Project) -> None:
        main = project.write("compose.yaml", "services: {app: {image: a}}")
        project.write("compose.override.yaml", "services: {app: {image: b}}")
        assert Result(imported(main)).spec().image == "a"

    def test_old_names_go_together(self, project: Project) -> None:
        project.write("docker-compose.yml", "services: {app: {image: a}}")
        project.write("docker-compose.override.yml", "services: {app: {image: b}}")
        assert Result(imported(project.directory)).spec().image == "b"


class TestDirectories:
    def test_files_that_dot_env_names(self, project: Project) -> None:
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
        result = Result(imported(project.directory))
        assert names(result.conversion) == ["app"]
        assert (result.spec().image, result.spec().user) == ("b", "5")
        # Paths are relative to the directory of the first file.
        assert result.spec().working_dir == "/right"
        assert [file.content for file in result.spec().config_files] == ["right"]
        assert result.notes[""].message == "not read: compose.yaml"

    def test_variables_of_the_file_that_names_another(self, project: Project) -> None:
        project.write(".env", "COMPOSE_FILE=docker/compose.yml\nTAG=7\n")
        project.write("docker/compose.yml", "services: {app: {image: 'a:${TAG}'}}")
        assert Result(imported(project.directory)).spec().image == "a:7"

    def test_other_files_beside_a_compose_file_are_named(self, project: Project) -> None:
        project.write("compose.yaml", "services: {app: {image: a}}")
        project.write("redis.yml", "services: {redis: {image: a}}")
        result = Result(imported(project.directory))
        assert names(result.conversion) == ["app"]
        assert result.notes[""].message == "not read: redis.yml"

    def test_without_a_compose_file_all_are_read(self, project: Project) -> None:
        project.write("a.yml", "services: {one: {image: a}}")
        project.write("b.yaml", "services: {two: {image: a}}")
        project.write("notes.txt", "nothing")
        assert names(imported(project.directory)) == ["one", "two"]

    def test_without_files_directories_are_entered(self, project: Project) -> None:
        project.write("x/compose.yaml", "services: {one: {image: a}}")
        project.write("y/z/docker-compose.yml", "services: {two: {image: a}}")
        project.write(".hidden/compose.yaml", "services: {three: {image: a}}")
        assert names(imported(project.directory)) == ["one", "two"]

    def test_nothing_to_read(self, project: Project) -> None:
        with pytest.raises(ComposeError, match="no YAML file is in this directory"):
            imported(project.directory)
        with pytest.raises(ComposeError, match="the file is missing: check the path"):
            imported(project.directory / "none.yml")

    def test_a_file_named_twice_is_read_once(self, project: Project) -> None:
        path = project.write("a.yml", "services: {one: {image: a}}")
        assert names(imported(path, project.directory, path)) == ["one"]


class TestSeveralFiles:
    def test_equal_names_are_kept_apart_and_reported(self, project: Project) -> None:
        one = project.write("a.yml", "services: {db: {image: a}, app: {image: a, depends_on: [db]}}")
        two = project.write("b.yml", "services: {db: {image: b}, app: {image: b, depends_on: [db]}}")
        result = imported(one, two, stack="s")
        assert names(result) == ["db", "app", "db-2", "app-2"]
        assert result.services[3].spec.depends_on == ("db-2",)
        assert sum("another service has the name" in finding.message for finding in result.findings) == 2

    def test_services_of_other_files_can_be_waited_for_and_reached(self, project: Project) -> None:
        one = project.write("a.yml", "services: {app: {image: a, depends_on: [my_db], environment: {DB_HOST: my_db}}}")
        two = project.write("b.yml", "services: {my_db: {image: postgres, ports: ['5432']}}")
        result = Result(imported(one, two, stack="s"))
        assert result.spec().depends_on == ("my-db",)
        assert "hopper-s-my-db" in result.changed["environment.DB_HOST"].message

    def test_all_problems_are_told_and_nothing_is_converted(self, project: Project) -> None:
        one = project.write("a.yml", "services: {db: {image: a, ports: [x]}}")
        two = project.write("b.yml", "services: {db: {ports: 5}}")
        with pytest.raises(ComposeError) as caught:
            imported(one, two)
        assert {Path(problem.file).name for problem in caught.value.problems} == {"a.yml", "b.yml"}


class TestExtends:
    def test_within_a_file(self, project: Project) -> None:
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

    def test_paths_stay_right_across_directories(self, project: Project) -> None:
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

    def test_a_missing_file_is_reported(self, project: Project) -> None:
        result = project.convert("services: {app: {extends: {file: gone.yaml, service: x}, user: '5'}}")
        assert result.spec().user == "5"
        assert result.spec().image == "shop-app:latest"
        assert "gone" not in result.dropped["extends"].message
        assert "is missing" in result.dropped["extends"].message

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("services: {app: {extends: other}, other: {extends: app}}", "in a circle"),
            ("services: {app: {extends: app}}", "in a circle"),
            ("services: {app: {image: a, extends: none}}", "there is no service none in compose.yaml"),
            ("services: {app: {image: a, extends: {file: compose.yaml}}}", "which service"),
        ],
    )
    def test_what_is_refused(self, project: Project, text: str, said: str) -> None:
        assert any(said in problem for problem in project.problems(text))

    def test_circles_through_directories(self, project: Project) -> None:
        project.write("a/x.yaml", "services: {x: {extends: {file: ../b/y.yaml, service: y}}}")
        project.write("b/y.yaml", "services: {y: {extends: {file: ../a/x.yaml, service: x}}}")
        problems = project.problems("services: {app: {image: a, extends: {file: a/x.yaml, service: x}}}")
        assert "in a circle" in problems[0]

    def test_variables_of_the_other_file_are_reported_for_what_is_used(self, project: Project) -> None:
        project.write("base.yaml", "services: {x: {image: 'a:$USED'}, y: {image: 'a:$UNUSED'}}")
        result = project.convert("services: {app: {extends: {file: base.yaml, service: x}}}")
        assert [finding.message for finding in result.dropped.values()] == ["the variable USED has no value"]


class TestInclude:
    def test_paths_and_variables_are_those_of_the_included(self, project: Project) -> None:
        project.write(".env", "BOTH=outer\n")
        project.write("sub/.env", "BOTH=inner\nOWN=inner\n")
        project.write("sub/db.env", "X=1\n")
        project.write("sub/compose.yaml", "services: {db: {image: 'db:$BOTH-$OWN', env_file: db.env}}")
        result = project.convert("include: [sub/compose.yaml]\nservices: {app: {image: a, depends_on: [db]}}")
        assert result.spec("db").image == "db:outer-inner"
        assert [entry.name for entry in result.spec("db").env] == ["X"]
        assert result.spec().depends_on == ("db",)

    def test_the_long_form(self, project: Project) -> None:
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

    def test_what_is_not_there_or_elsewhere_is_reported(self, project: Project) -> None:
        for path in ("gone.yaml", "oci://registry/x", "https://example.com/x.yaml", "{}"):
            result = project.convert(f"include: [{path}]\nservices: {{app: {{image: a}}}}")
            assert "include" in result.dropped

    def test_clashes_and_circles_are_refused(self, project: Project) -> None:
        project.write("a.yaml", "services: {app: {image: b}}")
        assert "an included file has it, too" in project.problems("include: [a.yaml]\nservices: {app: {image: a}}")[0]
        assert "in a circle" in project.problems("include: [compose.yaml]\nservices: {app: {image: a}}")[0]

    def test_what_is_included_can_be_overridden(self, project: Project) -> None:
        project.write("a.yaml", "services: {db: {image: b, ports: ['1:1'], environment: {A: a}}}")
        project.write("b.yaml", "services: {more: {image: c}}")
        project.write(
            "compose.override.yaml",
            "include: [b.yaml]\nservices: {db: {ports: !override ['2:2'], environment: {B: b}}}",
        )
        project.write("compose.yaml", "include: [a.yaml]\nservices: {app: {image: a}}\n---\ninclude: [./a.yaml]")
        result = Result(imported(project.directory))
        assert set(names(result.conversion)) == {"app", "db", "more"}
        assert result.spec("db").image == "b"
        assert [port.container_port for port in result.spec("db").ports] == [2]
        assert [entry.name for entry in result.spec("db").env] == ["A", "B"]

    def test_includes_cannot_explode(self, project: Project) -> None:
        for number in range(30):
            project.write(f"{number}.yaml", f"include: [{number + 1}.yaml, ./{number + 1}.yaml]")
        assert "more than 256 files are included" in project.problems("include: [0.yaml]")[0]

    def test_including_the_same_twice_is_fine(self, project: Project) -> None:
        project.write("a.yaml", "services: {db: {image: b}}")
        result = project.convert("include: [a.yaml, ./a.yaml]\nservices: {app: {image: a}}")
        assert set(names(result.conversion)) == {"app", "db"}


def test_the_first_format(project: Project) -> None:
    result = project.convert("web:\n  image: a\n  links: [db]\ndb:\n  image: postgres\n")
    assert names(result.conversion) == ["web", "db"]
    assert "first format" in result.notes[""].message


def test_the_top_level(project: Project) -> None:
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
