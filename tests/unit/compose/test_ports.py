"""Conversion of `ports` and `expose`."""

from __future__ import annotations

import pytest

from hopper.api.service import PortEntry
from tests.unit.compose.compose_directory import ComposeDirectory


def port_text(port: PortEntry) -> str:
    """Write a port as ip:published>inside/PROTOCOL."""
    return f"{port.host_ip or ''}:{port.host_port or ''}>{port.container_port}/{port.protocol}"


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", [":>80/TCP"]),
        ('"80"', [":>80/TCP"]),
        ('"8080:80"', [":8080>80/TCP"]),
        ("8080:80", [":8080>80/TCP"]),
        ("22:22", [":22>22/TCP"]),
        ('"8080:80/udp"', [":8080>80/UDP"]),
        ('"8080:80/SCTP"', [":8080>80/SCTP"]),
        ('"127.0.0.1:8080:80"', ["127.0.0.1:8080>80/TCP"]),
        ('"127.0.0.1::80"', ["127.0.0.1:>80/TCP"]),
        ('"127.0.0.1:80"', ["127.0.0.1:>80/TCP"]),
        ('"[::1]:8080:80"', ["::1:8080>80/TCP"]),
        ('":80"', [":>80/TCP"]),
        ('"0:80"', [":>80/TCP"]),
        ('"3000-3002"', [":>3000/TCP", ":>3001/TCP", ":>3002/TCP"]),
        ('"4000-4001:3000-3001/udp"', [":4000>3000/UDP", ":4001>3001/UDP"]),
        ('"0.0.0.0:4000-4001:3000-3001"', ["0.0.0.0:4000>3000/TCP", "0.0.0.0:4001>3001/TCP"]),
        ("{target: 80}", [":>80/TCP"]),
        ('{target: "80", published: "8080", protocol: udp}', [":8080>80/UDP"]),
        ("{target: 80, published: 8080, host_ip: 127.0.0.1, mode: ingress}", ["127.0.0.1:8080>80/TCP"]),
        ("{target: 3000-3001, published: 4000-4001}", [":4000>3000/TCP", ":4001>3001/TCP"]),
    ],
)
def test_all_forms_are_converted(project: ComposeDirectory, text: str, ports: list[str]) -> None:
    assert [port_text(port) for port in project.app(f"ports: [{text}]").spec().ports] == ports


@pytest.mark.parametrize(
    "text",
    [
        "http",
        '"80:http"',
        '"0"',
        '"70000"',
        '"90-80"',
        '"1-2:3-5"',
        '"80/quic"',
        '"80/"',
        '"host.example:80:80"',
        '"1:2:3:4:5"',
        "80.5",
        "{published: 80}",
        "{target: 80, published: http}",
    ],
)
def test_invalid_ports_are_problems(project: ComposeDirectory, text: str) -> None:
    (problem,) = project.app_problems(f"ports: ['8080', {text}]")
    assert problem.startswith("compose.yaml: service app: ports[1]: the value is not a port: write it as in")


def test_a_range_of_published_ports_for_one_port_is_reduced_to_the_first(project: ComposeDirectory) -> None:
    result = project.app("ports: ['8000-8010:80']")
    assert [port_text(port) for port in result.spec().ports] == [":8000>80/TCP"]
    assert "8000" in result.changed["ports[0]"].message


def test_a_port_published_twice_is_reported(project: ComposeDirectory) -> None:
    result = project.app("ports: ['8080:80', '8081:80', '8080:80/udp']")
    assert [port_text(port) for port in result.spec().ports] == [":8080>80/TCP", ":8080>80/UDP"]
    assert "only the first published port is kept" in result.dropped["ports[1]"].message


def test_the_service_offers_each_port_once(project: ComposeDirectory) -> None:
    result = project.app("ports: ['127.0.0.1:80:8080', '127.0.0.2:80:8081', '8082:8082', 80]")
    assert [port_text(port) for port in result.spec().ports] == [
        "127.0.0.1:80>8080/TCP",
        "127.0.0.2:>8081/TCP",
        ":8082>8082/TCP",
    ]
    assert "port 80 of the Service is taken" in result.changed["ports[1]"].message
    assert "offers port 80 already" in result.dropped["ports[3]"].message


def test_a_large_range_is_left_out(project: ComposeDirectory) -> None:
    result = project.app("ports: ['10000-20000:10000-20000/udp', '80:80']")
    assert [port_text(port) for port in result.spec().ports] == [":80>80/TCP"]
    assert "the range has 10001 ports" in result.dropped["ports[0]"].message


def test_excess_ports_are_left_out(project: ComposeDirectory) -> None:
    result = project.app("ports: [1000-1039, 2000-2039]")
    assert len(result.spec().ports) == 64
    assert "more than 64" in result.dropped["ports"].message


def test_exposed_ports_are_not_published(project: ComposeDirectory) -> None:
    result = project.app("expose: [3000, '4000-4001/udp']\nports: ['8080:3000']")
    assert [port_text(port) for port in result.spec().ports] == [":8080>3000/TCP", ":>4000/UDP", ":>4001/UDP"]
    assert not result.dropped


def test_unsupported_keys_of_the_long_form_are_reported(project: ComposeDirectory) -> None:
    result = project.app("ports: [{target: 80, mode: host, app_protocol: http, name: web, bogus: 1}]")
    assert {"ports[0].mode", "ports[0].app_protocol", "ports[0].bogus"} == result.dropped.keys()
    assert "ports[0].name" in result.notes


class TestReachability:
    def test_ports_that_other_services_connect_to_are_added(self, project: ComposeDirectory) -> None:
        result = project.convert(
            """
            services:
              app: {image: a, environment: {API: "http://api:9000/v1", CACHE_HOST: redis, DB_URL: "x://u@db/y"}}
              api: {image: example/api}
              redis: {image: "example/redis:8"}
              db: {image: example/unknown}
            """
        )
        assert [port.container_port for port in result.spec("api").ports] == [9000]
        assert [port.container_port for port in result.spec("redis").ports] == [6379]
        assert result.spec("db").ports == ()
        assert "no port is known" in result.dropped["ports"].message

    def test_published_ports_keep_their_numbers(self, project: ComposeDirectory) -> None:
        result = project.convert(
            """
            services:
              app: {image: a, environment: {DB: "db:5432"}}
              db: {image: postgres, ports: ["15432:5432"]}
            """,
            stack="shop",
        )
        assert [port_text(port) for port in result.spec("db").ports] == [":15432>5432/TCP"]
        assert result.overrides()["env"] == [{"name": "DB", "value": "hopper-shop-db:15432"}]

    def test_names_that_are_not_hosts_are_ignored(self, project: ComposeDirectory) -> None:
        result = project.convert(
            """
            services:
              wordpress: {image: a, environment: {DB_NAME: wordpress, SERVER_NAME: wordpress, X: db, Y: my-db:5432}}
              db: {image: example/b}
            """
        )
        assert not result.changed
        assert result.spec("db").ports == ()

    def test_ports_behind_domains_are_added(self, project: ComposeDirectory) -> None:
        result = project.app("environment: {VIRTUAL_HOST: a.example.com, VIRTUAL_PORT: '8080'}")
        assert [port.container_port for port in result.spec().ports] == [8080]
        assert (result.spec().domains[0].domain, result.spec().domains[0].proxy_port) == ("a.example.com", 8080)
