"""Services of a stack reach each other under the names that they have in the cluster."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from hopper.compose.hosts.mentions import find_mentions
from tests.unit.compose.converting import Project, Result


def stack(project: Project, app: str, others: str = "") -> Result:
    """Convert a stack of an app and a database, which is published under another port than its own."""
    text = f"""
services:
  app:
    image: example/app:1
    {app}
  db:
    image: postgres:17
    container_name: shop_database
    ports: ["15432:5432"]
    networks: {{default: {{aliases: [store]}}}}
{others}
"""
    return project.convert(text, stack="shop")


def env(result: Result, service: str = "app") -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in result.overrides(service).get("env", [])}


@pytest.mark.parametrize(
    ("key", "text", "found"),
    [
        ("DB", "db:5432", ["db:5432"]),
        ("DB", "postgres://app:db@db/db", ["db"]),
        ("DB", "postgres://db:db@db:5432/db?host=db:1", ["db:5432"]),
        ("DB", "jdbc:postgresql://db:5432/db", ["db:5432"]),
        ("DB", "tcp(db:3306)/db", ["db:3306"]),
        ("DB", "guest:guest@db:5672//", ["db:5672"]),
        ("DB", "local:db:6379", ["db:6379"]),
        ("SEEDS", "db:9042,my-cache:9043", ["db:9042", "my-cache:9043"]),
        ("DB_HOST", "db", ["db"]),
        ("SEED_HOSTS", "db,my-cache", ["db", "my-cache"]),
        ("DB_HOSTNAME", "db", ["db"]),
        # Words that only look like it.
        ("DB", "db", []),
        ("SERVER_NAME", "db", []),
        ("SEED_HOSTS", "db,elsewhere", []),
        ("DB_HOST", "db.example.com", []),
        ("DB_URL", "http://db.example.com:80", []),
        ("DB_URL", "http://example.com/db:80", []),
        ("DB_URL", "http://db-2:80 http://my.db:80 http://mydb:80", []),
        ("DB_URL", "http://db:secret@example.com", []),
        ("BASE", "db:17", []),
        ("DB_IMAGE", "db:1700", []),
        ("BASE", "db:1700-alpine", []),
        ("BASE", "db:1700.2", []),
        ("TIME", "db:123456", []),
    ],
)
def test_mentions(key: str, text: str, found: list[str]) -> None:
    mentions = find_mentions(key, text, {"db": (), "my-cache": ()})
    assert [text[one.start : one.end] for one in mentions] == found


def test_small_numbers_are_ports_where_the_service_has_them() -> None:
    assert [one.port for one in find_mentions("A", "db:53", {"db": {53}})] == [53]


class TestVariables:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("db:5432", "hopper-shop-db:15432"),
            ("db:9999", "hopper-shop-db:9999"),
            ("postgres://db/app", "postgres://hopper-shop-db:15432/app"),
            ("postgresql+asyncpg://db/app", "postgresql+asyncpg://hopper-shop-db:15432/app"),
            ("http://db/", "http://hopper-shop-db/"),
            ("http://shop_database:9999", "http://hopper-shop-db:9999"),
            ("http://store:9999", "http://hopper-shop-db:9999"),
        ],
    )
    def test_the_instance_overrides_them(self, project: Project, before: str, after: str) -> None:
        result = stack(project, f"environment: {{DB: '{before}'}}")
        assert env(result)["DB"] == after
        # The template serves other stacks as well.
        assert {one.name: one.value for one in result.spec().env} == {"DB": before}
        assert "hopper-shop-db" in result.changed["environment.DB"].message

    def test_secret_ones(self, project: Project) -> None:
        result = stack(project, "environment: {DB_URL: 'postgres://app:turtle-dove@db:5432/app'}")
        ref = result.overrides()["env"][0]["valueFrom"]["secretKeyRef"]
        data = result.manifest("Secret", ref["name"])["data"]
        assert base64.b64decode(data[ref["key"]]) == b"postgres://app:turtle-dove@hopper-shop-db:15432/app"
        assert result.secrets() == {"DB_URL": "postgres://app:turtle-dove@db:5432/app"}
        assert "turtle-dove" not in str(result.manifest("HopperInstance", "shop-app"))

    def test_secret_files(self, project: Project) -> None:
        project.write("app.ini", "url = postgres://app:turtle-dove@db:5432/app")
        result = stack(project, "volumes: ['./app.ini:/etc/app.ini']")
        (file,) = result.overrides()["configFiles"]
        ref = file["contentFrom"]["secretKeyRef"]
        data = result.manifest("Secret", ref["name"])["data"]
        assert base64.b64decode(data[ref["key"]]) == b"url = postgres://app:turtle-dove@hopper-shop-db:15432/app"
        assert "content" not in file
        assert result.secrets() == {"app.ini": "url = postgres://app:turtle-dove@db:5432/app"}

    def test_the_port_beside_the_host(self, project: Project) -> None:
        result = stack(project, "environment: {DB_HOST: db, DB_PORT: 5432, OTHER_PORT: 5432}")
        assert env(result) == {"DB_HOST": "hopper-shop-db", "DB_PORT": "15432"}

    @pytest.mark.parametrize("app", ["environment: {DB_HOST: db}", "command: [serve, -h, db]"])
    def test_without_a_port_it_is_the_containers(self, project: Project, app: str) -> None:
        result = stack(project, app + "\n    labels: {}\n", "  cli: {image: a, environment: {A: 'db:5432', B: 'db:9'}}")
        assert result.overrides("db")["ports"] == [{"containerPort": 5432, "protocol": "TCP"}]
        assert env(result, "cli") == {"A": "hopper-shop-db:5432"}
        assert [(one.container_port, one.host_port) for one in result.spec("db").ports] == [(5432, 15432)]
        assert any("offers 5432 instead of 15432" in one.message for one in result.conversion.findings)

    def test_a_number_that_is_taken(self, project: Project) -> None:
        text = "services: {a: {image: a, environment: {X_HOST: b}}, b: {image: b, ports: ['80:8080', '8080:80']}}"
        assert project.convert(text, stack="shop").overrides("b") == {}

    def test_a_name_that_two_containers_share(self, project: Project) -> None:
        others = "  a: {image: a, hostname: twin}\n  b: {image: a, hostname: twin}"
        assert env(stack(project, "environment: {URL: 'http://twin:80'}", others)) == {}

    def test_links_have_names_of_their_own(self, project: Project) -> None:
        result = stack(project, "environment: {URL: 'http://pg:9999'}\n    links: ['db:pg']")
        assert env(result) == {"URL": "http://hopper-shop-db:9999"}

    def test_another_prefix(self, project: Project) -> None:
        path = project.write(
            "compose.yaml", "services: {a: {image: a, environment: {U: 'http://b:80'}}, b: {image: b}}"
        )
        from hopper.compose.convert import convert

        made = Result(convert([path], stack="shop", prefix="acme"))
        assert env(made, "a") == {"U": "http://acme-shop-b:80"}

    def test_without_a_stack(self, project: Project) -> None:
        result = project.convert("services: {a: {image: a, environment: {U: 'http://b:80'}}, b: {image: b}}")
        finding = result.changed["environment.U"]
        assert "--stack" in finding.advice
        assert "hopper-STACK-b" in finding.advice


class TestElsewhere:
    def test_commands_take_them_from_variables(self, project: Project) -> None:
        result = stack(project, 'command: ["serve", "--db=db:5432", "-h", "db"]')
        spec = result.spec()
        assert spec.args == ("serve", "--db=$(ADDRESS_OF_DB_5432)", "-h", "$(ADDRESS_OF_DB)")
        assert {one.name: one.value for one in spec.env} == {"ADDRESS_OF_DB_5432": "db:5432", "ADDRESS_OF_DB": "db"}
        assert env(result) == {"ADDRESS_OF_DB_5432": "hopper-shop-db:5432", "ADDRESS_OF_DB": "hopper-shop-db"}

    def test_variables_that_would_have_the_same_name(self, project: Project) -> None:
        app = "command: [http://a-b, http://a_b]"
        spec = stack(project, app, "  a-b: {image: a}\n  a_b: {image: b}").spec()
        assert spec.args == ("http://$(ADDRESS_OF_A_B)", "http://$(ADDRESS_OF_A_B_2)")

    def test_within_scripts(self, project: Project) -> None:
        result = stack(project, "entrypoint: sh -c 'until pg_isready -h db; do sleep 1; done; exec serve'")
        assert result.spec().command is not None
        assert result.spec().command[-1].startswith("until pg_isready -h $(ADDRESS_OF_DB); do")

    def test_ports_that_are_words(self, project: Project) -> None:
        result = stack(
            project, "command: sh -c 'while ! nc -z db 5432; do sleep 10; done; wait-for db 15 && exec serve'"
        )
        assert (result.spec().args or ())[-1].startswith("while ! nc -z $(ADDRESS_OF_DB_5432); do sleep 10")
        assert "wait-for db 15" in (result.spec().args or ())[-1]
        assert env(result) == {"ADDRESS_OF_DB_5432": "hopper-shop-db 15432"}

    def test_several_hosts_in_one(self, project: Project) -> None:
        others = "  node1: {image: a}\n  node2: {image: a}"
        result = stack(project, 'command: ["server", "http://node{1...2}:9000/data{1...2}"]', others)
        assert env(result) == {"ADDRESS_OF_NODE_1_2_9000": "hopper-shop-node{1...2}:9000"}
        assert result.spec().args == ("server", "http://$(ADDRESS_OF_NODE_1_2_9000)/data{1...2}")

    def test_config_files(self, project: Project) -> None:
        project.write("prometheus.yml", "targets: ['db:5432', 'db:9187']  # image: db:17\n")
        result = stack(project, "volumes: ['./prometheus.yml:/etc/prometheus.yml']")
        (file,) = result.overrides()["configFiles"]
        assert file["content"] == "targets: ['hopper-shop-db:15432', 'hopper-shop-db:9187']  # image: db:17\n"
        assert result.spec().config_files[0].content.startswith("targets: ['db:5432'")
        assert [port.container_port for port in result.spec("db").ports] == [5432, 9187]

    def test_groups_of_servers_are_no_hosts(self, project: Project) -> None:
        project.write(
            "nginx.conf", "upstream db {\n  server db:5432;\n}\nproxy_pass http://db/; proxy_pass http://db:80;"
        )
        result = stack(project, "volumes: ['./nginx.conf:/etc/nginx/nginx.conf']")
        (file,) = result.overrides()["configFiles"]
        assert file["content"] == (
            "upstream db {\n  server hopper-shop-db:15432;\n}\nproxy_pass http://db/; proxy_pass http://hopper-shop-db:80;"
        )

    def test_healthchecks_of_others(self, project: Project) -> None:
        result = stack(project, 'healthcheck: {test: ["CMD", "pg_isready", "-h", "db"], retries: 7}')
        assert result.overrides()["healthcheck"]["test"][-1] == "hopper-shop-db"
        assert result.overrides()["healthcheck"]["retries"] == 7


def test_long_words_end(project: Project) -> None:
    project.write("blob.txt", "a1" * 100_000)
    result = stack(project, "volumes: ['./blob.txt:/blob.txt']")
    assert result.overrides() == {}


class TestItself:
    def test_the_healthcheck_looks_on_localhost(self, project: Project) -> None:
        result = stack(project, 'healthcheck: {test: "curl -f http://app:8080/live && curl http://app"}')
        check = result.spec().healthcheck
        assert check is not None
        assert check.test == ("CMD-SHELL", "curl -f http://localhost:8080/live && curl http://localhost")
        assert result.overrides() == {}

    def test_it_listens_everywhere(self, project: Project) -> None:
        listens = "environment: {LISTENERS: 'A://app:9092,B://app:9093', ADVERTISED_LISTENERS: 'A://app:9092'}"
        result = stack(project, f'{listens}\n    command: ["--listen", "http://app:80", "--join", "http://app:81"]')
        assert {one.name: one.value for one in result.spec().env}["LISTENERS"] == "A://0.0.0.0:9092,B://0.0.0.0:9093"
        assert result.spec().args == ("--listen", "http://0.0.0.0:80", "--join", "http://$(ADDRESS_OF_APP_81)")
        assert env(result) == {
            "ADVERTISED_LISTENERS": "A://hopper-shop-app:9092",
            "ADDRESS_OF_APP_81": "hopper-shop-app:81",
        }

    def test_it_listens_at_its_name(self, project: Project) -> None:
        result = stack(project, "environment: {CLUSTER_BIND_ADDR: app}")
        assert {one.name: one.value for one in result.spec().env} == {"CLUSTER_BIND_ADDR": "0.0.0.0"}

    def test_where_it_is_reached_is_offered(self, project: Project) -> None:
        result = stack(project, "environment: {ADVERTISED_LISTENERS: 'A://app:9092', SELF_URL: 'http://app'}")
        assert [port.container_port for port in result.spec().ports] == [9092]

    @pytest.mark.parametrize(("name", "known"), [("shop.example.com", False), ("shop.internal", True), ("shop", True)])
    def test_the_name_that_the_world_knows_stays(self, project: Project, name: str, known: bool) -> None:
        result = stack(project, f"hostname: {name}\n    environment: {{EXTERNAL_URL: 'https://{name}/x'}}")
        assert env(result) == ({"EXTERNAL_URL": "https://hopper-shop-app/x"} if known else {})

    def test_whom_it_asks_before_it_is_ready(self, project: Project) -> None:
        result = stack(project, "environment: {KAFKA_CONTROLLER_QUORUM_VOTERS: '1@app:9093,2@db:9093'}")
        assert env(result) == {"KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093,2@hopper-shop-db:9093"}

    def test_an_ensemble(self, project: Project) -> None:
        servers = "ZOO_SERVERS: 'server.1=app:2888:3888;2181 server.2=other:2888:3888;2181'"
        result = stack(project, f"environment: {{{servers}}}", "  other: {image: a}")
        assert env(result) == {
            "ZOO_SERVERS": "server.1=0.0.0.0:2888:3888;2181 server.2=hopper-shop-other:2888:3888;2181"
        }
        assert [port.container_port for port in result.spec("other").ports] == [2888, 3888]

    def test_nodes_find_each_other(self, project: Project) -> None:
        result = stack(
            project,
            "environment: ['discovery.seed_hosts=es02,es03']",
            "  es02: {image: a, ports: ['9200:9200']}\n  es03: {image: a}",
        )
        assert env(result) == {"discovery.seed_hosts": "hopper-shop-es02,hopper-shop-es03"}
        assert [port.container_port for port in result.spec("es02").ports] == [9200, 9300]
        assert [port.container_port for port in result.spec("es03").ports] == [9300]

    def test_its_name_alone_is_what_it_calls_itself(self, project: Project) -> None:
        assert env(stack(project, "environment: {HOSTNAME: app}")) == {}
