"""Replacement of compose names by the host names that services have in a stack."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from hopper.compose.hosts.mentions import find_mentions
from tests.unit.compose.compose_directory import ComposeDirectory, ConversionResult


def stack(project: ComposeDirectory, app: str, others: str = "") -> ConversionResult:
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


def overridden_env(result: ConversionResult, service: str = "app") -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in result.overrides(service).get("env", [])}


@pytest.mark.parametrize(
    ("key", "text", "hosts"),
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
        # These texts contain the name, but not as a host.
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
def test_hosts_are_found_in_texts(key: str, text: str, hosts: list[str]) -> None:
    mentions = find_mentions(key, text, {"db": (), "my-cache": ()})
    assert [text[mention.start : mention.end] for mention in mentions] == hosts


def test_a_small_number_is_a_port_if_the_service_has_it() -> None:
    assert [mention.port for mention in find_mentions("A", "db:53", {"db": {53}})] == [53]


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
    def test_the_instance_overrides_the_value(self, project: ComposeDirectory, before: str, after: str) -> None:
        result = stack(project, f"environment: {{DB: '{before}'}}")
        assert overridden_env(result)["DB"] == after
        # The template serves other stacks as well.
        assert {variable.name: variable.value for variable in result.spec().env} == {"DB": before}
        assert "hopper-shop-db" in result.changed["environment.DB"].message

    def test_a_secret_value_is_overridden_in_a_secret(self, project: ComposeDirectory) -> None:
        result = stack(project, "environment: {DB_URL: 'postgres://app:turtle-dove@db:5432/app'}")
        ref = result.overrides()["env"][0]["valueFrom"]["secretKeyRef"]
        data = result.manifest("Secret", ref["name"])["data"]
        assert base64.b64decode(data[ref["key"]]) == b"postgres://app:turtle-dove@hopper-shop-db:15432/app"
        assert result.secrets() == {"DB_URL": "postgres://app:turtle-dove@db:5432/app"}
        assert "turtle-dove" not in str(result.manifest("HopperInstance", "shop-app"))

    def test_a_secret_file_is_overridden_in_a_secret(self, project: ComposeDirectory) -> None:
        project.write("app.ini", "url = postgres://app:turtle-dove@db:5432/app")
        result = stack(project, "volumes: ['./app.ini:/etc/app.ini']")
        (file,) = result.overrides()["configFiles"]
        ref = file["contentFrom"]["secretKeyRef"]
        data = result.manifest("Secret", ref["name"])["data"]
        assert base64.b64decode(data[ref["key"]]) == b"url = postgres://app:turtle-dove@hopper-shop-db:15432/app"
        assert "content" not in file
        assert result.secrets() == {"app.ini": "url = postgres://app:turtle-dove@db:5432/app"}

    def test_the_variable_for_the_port_is_overridden_as_well(self, project: ComposeDirectory) -> None:
        result = stack(project, "environment: {DB_HOST: db, DB_PORT: 5432, OTHER_PORT: 5432}")
        assert overridden_env(result) == {"DB_HOST": "hopper-shop-db", "DB_PORT": "15432"}

    @pytest.mark.parametrize("app", ["environment: {DB_HOST: db}", "command: [serve, -h, db]"])
    def test_a_host_without_a_port_makes_the_service_offer_the_container_port(
        self, project: ComposeDirectory, app: str
    ) -> None:
        result = stack(project, app + "\n    labels: {}\n", "  cli: {image: a, environment: {A: 'db:5432', B: 'db:9'}}")
        assert result.overrides("db")["ports"] == [{"containerPort": 5432, "protocol": "TCP"}]
        assert overridden_env(result, "cli") == {"A": "hopper-shop-db:5432"}
        assert [(port.container_port, port.host_port) for port in result.spec("db").ports] == [(5432, 15432)]
        assert any("offers 5432 instead of 15432" in finding.message for finding in result.conversion.findings)

    def test_a_port_number_that_is_taken_is_not_overridden(self, project: ComposeDirectory) -> None:
        text = "services: {a: {image: a, environment: {X_HOST: b}}, b: {image: b, ports: ['80:8080', '8080:80']}}"
        assert project.convert(text, stack="shop").overrides("b") == {}

    def test_an_ambiguous_host_name_is_ignored(self, project: ComposeDirectory) -> None:
        others = "  a: {image: a, hostname: twin}\n  b: {image: a, hostname: twin}"
        assert overridden_env(stack(project, "environment: {URL: 'http://twin:80'}", others)) == {}

    def test_aliases_of_links_are_replaced(self, project: ComposeDirectory) -> None:
        result = stack(project, "environment: {URL: 'http://pg:9999'}\n    links: ['db:pg']")
        assert overridden_env(result) == {"URL": "http://hopper-shop-db:9999"}

    def test_the_prefix_is_part_of_the_host_name(self, project: ComposeDirectory) -> None:
        path = project.write(
            "compose.yaml", "services: {a: {image: a, environment: {U: 'http://b:80'}}, b: {image: b}}"
        )
        from hopper.compose.convert import convert

        made = ConversionResult(convert([path], stack="shop", prefix="acme"))
        assert overridden_env(made, "a") == {"U": "http://acme-shop-b:80"}

    def test_without_a_stack_the_places_are_reported(self, project: ComposeDirectory) -> None:
        result = project.convert("services: {a: {image: a, environment: {U: 'http://b:80'}}, b: {image: b}}")
        finding = result.changed["environment.U"]
        assert "--stack" in finding.advice
        assert "hopper-STACK-b" in finding.advice


class TestOtherTexts:
    def test_commands_read_the_address_from_a_variable(self, project: ComposeDirectory) -> None:
        result = stack(project, 'command: ["serve", "--db=db:5432", "-h", "db"]')
        spec = result.spec()
        assert spec.args == ("serve", "--db=$(ADDRESS_OF_DB_5432)", "-h", "$(ADDRESS_OF_DB)")
        assert {variable.name: variable.value for variable in spec.env} == {
            "ADDRESS_OF_DB_5432": "db:5432",
            "ADDRESS_OF_DB": "db",
        }
        assert overridden_env(result) == {
            "ADDRESS_OF_DB_5432": "hopper-shop-db:5432",
            "ADDRESS_OF_DB": "hopper-shop-db",
        }

    def test_similar_addresses_get_separate_variables(self, project: ComposeDirectory) -> None:
        app = "command: [http://a-b, http://a_b]"
        spec = stack(project, app, "  a-b: {image: a}\n  a_b: {image: b}").spec()
        assert spec.args == ("http://$(ADDRESS_OF_A_B)", "http://$(ADDRESS_OF_A_B_2)")

    def test_hosts_in_scripts_are_replaced(self, project: ComposeDirectory) -> None:
        result = stack(project, "entrypoint: sh -c 'until pg_isready -h db; do sleep 1; done; exec serve'")
        assert result.spec().command is not None
        assert result.spec().command[-1].startswith("until pg_isready -h $(ADDRESS_OF_DB); do")

    def test_a_port_can_be_the_next_word(self, project: ComposeDirectory) -> None:
        result = stack(
            project, "command: sh -c 'while ! nc -z db 5432; do sleep 10; done; wait-for db 15 && exec serve'"
        )
        assert (result.spec().args or ())[-1].startswith("while ! nc -z $(ADDRESS_OF_DB_5432); do sleep 10")
        assert "wait-for db 15" in (result.spec().args or ())[-1]
        assert overridden_env(result) == {"ADDRESS_OF_DB_5432": "hopper-shop-db 15432"}

    def test_a_range_of_hosts_is_kept(self, project: ComposeDirectory) -> None:
        others = "  node1: {image: a}\n  node2: {image: a}"
        result = stack(project, 'command: ["server", "http://node{1...2}:9000/data{1...2}"]', others)
        assert overridden_env(result) == {"ADDRESS_OF_NODE_1_2_9000": "hopper-shop-node{1...2}:9000"}
        assert result.spec().args == ("server", "http://$(ADDRESS_OF_NODE_1_2_9000)/data{1...2}")

    def test_config_files_are_overridden(self, project: ComposeDirectory) -> None:
        project.write("prometheus.yml", "targets: ['db:5432', 'db:9187']  # image: db:17\n")
        result = stack(project, "volumes: ['./prometheus.yml:/etc/prometheus.yml']")
        (file,) = result.overrides()["configFiles"]
        assert file["content"] == "targets: ['hopper-shop-db:15432', 'hopper-shop-db:9187']  # image: db:17\n"
        assert result.spec().config_files[0].content.startswith("targets: ['db:5432'")
        assert [port.container_port for port in result.spec("db").ports] == [5432, 9187]

    def test_upstream_groups_of_nginx_are_kept(self, project: ComposeDirectory) -> None:
        project.write(
            "nginx.conf", "upstream db {\n  server db:5432;\n}\nproxy_pass http://db/; proxy_pass http://db:80;"
        )
        result = stack(project, "volumes: ['./nginx.conf:/etc/nginx/nginx.conf']")
        (file,) = result.overrides()["configFiles"]
        assert file["content"] == (
            "upstream db {\n  server hopper-shop-db:15432;\n}\nproxy_pass http://db/; proxy_pass http://hopper-shop-db:80;"
        )

    def test_a_healthcheck_of_another_service_is_overridden(self, project: ComposeDirectory) -> None:
        result = stack(project, 'healthcheck: {test: ["CMD", "pg_isready", "-h", "db"], retries: 7}')
        assert result.overrides()["healthcheck"]["test"][-1] == "hopper-shop-db"
        assert result.overrides()["healthcheck"]["retries"] == 7


def test_very_long_words_are_searched_quickly(project: ComposeDirectory) -> None:
    project.write("blob.txt", "a1" * 100_000)
    result = stack(project, "volumes: ['./blob.txt:/blob.txt']")
    assert result.overrides() == {}


class TestSelfReferences:
    def test_the_healthcheck_connects_to_localhost(self, project: ComposeDirectory) -> None:
        result = stack(project, 'healthcheck: {test: "curl -f http://app:8080/live && curl http://app"}')
        check = result.spec().healthcheck
        assert check is not None
        assert check.test == ("CMD-SHELL", "curl -f http://localhost:8080/live && curl http://localhost")
        assert result.overrides() == {}

    def test_an_address_to_listen_on_becomes_all_addresses(self, project: ComposeDirectory) -> None:
        listens = "environment: {LISTENERS: 'A://app:9092,B://app:9093', ADVERTISED_LISTENERS: 'A://app:9092'}"
        result = stack(project, f'{listens}\n    command: ["--listen", "http://app:80", "--join", "http://app:81"]')
        assert {variable.name: variable.value for variable in result.spec().env}[
            "LISTENERS"
        ] == "A://0.0.0.0:9092,B://0.0.0.0:9093"
        assert result.spec().args == ("--listen", "http://0.0.0.0:80", "--join", "http://$(ADDRESS_OF_APP_81)")
        assert overridden_env(result) == {
            "ADVERTISED_LISTENERS": "A://hopper-shop-app:9092",
            "ADDRESS_OF_APP_81": "hopper-shop-app:81",
        }

    def test_a_name_alone_to_listen_on_becomes_all_addresses(self, project: ComposeDirectory) -> None:
        result = stack(project, "environment: {CLUSTER_BIND_ADDR: app}")
        assert {variable.name: variable.value for variable in result.spec().env} == {"CLUSTER_BIND_ADDR": "0.0.0.0"}

    def test_an_advertised_port_is_offered(self, project: ComposeDirectory) -> None:
        result = stack(project, "environment: {ADVERTISED_LISTENERS: 'A://app:9092', SELF_URL: 'http://app'}")
        assert [port.container_port for port in result.spec().ports] == [9092]

    @pytest.mark.parametrize(("name", "known"), [("shop.example.com", False), ("shop.internal", True), ("shop", True)])
    def test_public_host_names_are_kept(self, project: ComposeDirectory, name: str, known: bool) -> None:
        result = stack(project, f"hostname: {name}\n    environment: {{EXTERNAL_URL: 'https://{name}/x'}}")
        assert overridden_env(result) == ({"EXTERNAL_URL": "https://hopper-shop-app/x"} if known else {})

    def test_the_own_address_among_quorum_voters_is_localhost(self, project: ComposeDirectory) -> None:
        result = stack(project, "environment: {KAFKA_CONTROLLER_QUORUM_VOTERS: '1@app:9093,2@db:9093'}")
        assert overridden_env(result) == {"KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093,2@hopper-shop-db:9093"}

    def test_servers_of_zookeeper(self, project: ComposeDirectory) -> None:
        servers = "ZOO_SERVERS: 'server.1=app:2888:3888;2181 server.2=other:2888:3888;2181'"
        result = stack(project, f"environment: {{{servers}}}", "  other: {image: a}")
        assert overridden_env(result) == {
            "ZOO_SERVERS": "server.1=0.0.0.0:2888:3888;2181 server.2=hopper-shop-other:2888:3888;2181"
        }
        assert [port.container_port for port in result.spec("other").ports] == [2888, 3888]

    def test_seed_hosts_of_elasticsearch(self, project: ComposeDirectory) -> None:
        result = stack(
            project,
            "environment: ['discovery.seed_hosts=es02,es03']",
            "  es02: {image: a, ports: ['9200:9200']}\n  es03: {image: a}",
        )
        assert overridden_env(result) == {"discovery.seed_hosts": "hopper-shop-es02,hopper-shop-es03"}
        assert [port.container_port for port in result.spec("es02").ports] == [9200, 9300]
        assert [port.container_port for port in result.spec("es03").ports] == [9300]

    def test_the_own_name_alone_is_a_label_and_kept(self, project: ComposeDirectory) -> None:
        assert overridden_env(stack(project, "environment: {HOSTNAME: app}")) == {}
