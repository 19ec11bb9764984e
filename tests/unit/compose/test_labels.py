"""Conversion of labels, and of the routing rules of reverse proxies in them into domains."""

from __future__ import annotations

import pytest

from hopper.api.service import DomainEntry
from hopper.compose.services.proxy_hosts import find_proxy_hosts
from tests.unit.compose.compose_directory import ComposeDirectory


def find_domains(labels: dict[str, str], variables: dict[str, str] | None = None) -> list[tuple[str, int | None]]:
    return [(host.name, host.port) for host in find_proxy_hosts(labels, variables or {}).hosts]


ROUTER, PORT = "traefik.http.routers.r.rule", "traefik.http.services.s.loadbalancer.server.port"


@pytest.mark.parametrize(
    ("labels", "hosts"),
    [
        ({ROUTER: "Host(`a.x`)"}, [("a.x", None)]),
        ({ROUTER: "Host(`a.x`) || Host('b.x')"}, [("a.x", None), ("b.x", None)]),
        ({ROUTER: "Host(`a.x`, `b.x`)", PORT: "80"}, [("a.x", 80), ("b.x", 80)]),
        ({ROUTER: 'Host("a.x") && PathPrefix(`/x`)'}, [("a.x", None)]),
        ({ROUTER: "!Host(`a.x`)"}, []),
        ({ROUTER: "PathPrefix(`/x`)"}, []),
        ({ROUTER: "Host(`a.x`)", "traefik.enable": "false"}, []),
        ({"traefik.tcp.routers.r.rule": "HostSNI(`*`)"}, []),
        ({"Traefik.HTTP.Routers.r.Rule": "Host(`a.x`)"}, [("a.x", None)]),
        ({"traefik.frontend.rule": "Host:a.x, b.x;PathPrefix:/x", "traefik.port": "81"}, [("a.x", 81), ("b.x", 81)]),
        ({"caddy": "a.x b.x", "caddy.reverse_proxy": "{{upstreams 82}}"}, [("a.x", 82), ("b.x", 82)]),
        ({"caddy_0": "https://a.x:443/path"}, [("a.x", None)]),
        ({"caddy.tls": "internal"}, []),
        ({PORT: "80"}, []),
    ],
)
def test_host_names_are_found_in_labels(labels: dict[str, str], hosts: list[tuple[str, int | None]]) -> None:
    assert find_domains(labels) == hosts


def test_host_names_are_found_in_variables() -> None:
    assert find_domains({}, {"VIRTUAL_HOST": "a.x, b.x", "VIRTUAL_PORT": "8080"}) == [("a.x", 8080), ("b.x", 8080)]


def test_a_host_name_has_the_port_of_the_service_of_its_router() -> None:
    labels = {
        ROUTER: "Host(`a.x`)",
        "traefik.http.routers.r.service": "two",
        "traefik.http.services.one.loadbalancer.server.port": "1",
        "traefik.http.services.two.loadbalancer.server.port": "2",
    }
    assert find_domains(labels) == [("a.x", 2)]


def test_valid_labels_are_kept_and_others_reported(project: ComposeDirectory) -> None:
    result = project.app(
        """
        labels:
          plain: value
          com.example.number: 5
          on: true
          empty:
          bad value: x
          description: a long text with spaces
          hopper.dev/mine: x
          kubernetes.io/x: x
          app.kubernetes.io/name: x
        """
    )
    assert {label.name: label.value for label in result.spec().labels} == {
        "plain": "value",
        "com.example.number": "5",
        "on": "true",
        "empty": "",
    }
    assert len(result.dropped) == 5
    assert "value is not valid" in result.dropped["labels.description"].message
    assert "name is not valid" in result.dropped["labels.bad…"].message


def test_labels_of_all_sources_are_merged(project: ComposeDirectory) -> None:
    project.write("app.labels", "a=file\nb=file\nc=file\n")
    result = project.app("label_file: app.labels\nlabels: [c=own]\ndeploy: {labels: {b: deploy, c: deploy}}")
    assert {label.name: label.value for label in result.spec().labels} == {"a": "file", "b": "deploy", "c": "own"}
    assert "label_file" in project.app("label_file: [none]").dropped


def test_rules_become_domains(project: ComposeDirectory) -> None:
    result = project.app(
        """
        ports: [3000]
        labels:
          traefik.enable: "true"
          traefik.http.routers.r.rule: "Host(`A.example.com`) && PathPrefix(`/x`)"
          traefik.http.services.s.loadbalancer.server.port: "3000"
        """
    )
    assert result.spec().domains == (DomainEntry(domain="a.example.com", proxy_port=3000),)
    assert [label.name for label in result.spec().labels] == ["traefik.enable"]
    rule = "labels.traefik.http.routers.r.rule"
    assert "conditions other than host names" in result.dropped[rule].message
    assert "became the domain a.example.com" in result.changed[rule].message


@pytest.mark.parametrize("rule", ["PathPrefix(`/x`)", "Host(`app.${DOMAIN}`)", "HostRegexp(`.+`)", "nonsense"])
def test_rules_without_a_complete_host_are_reported(project: ComposeDirectory, rule: str) -> None:
    result = project.app(f'ports: [80]\nlabels: {{traefik.http.routers.r.rule: "{rule}"}}')
    assert result.spec().domains == ()
    assert "labels.traefik.http.routers.r.rule" in result.dropped


def test_a_domain_without_a_port_is_reported(project: ComposeDirectory) -> None:
    result = project.app("labels: {traefik.http.routers.r.rule: Host(`a.example.com`)}")
    assert result.spec().domains == ()
    assert "has no TCP port" in result.dropped["domains[a.example.com]"].message


def test_labels_with_secrets_are_left_out(project: ComposeDirectory) -> None:
    result = project.app("environment: {API_TOKEN: canary-7}\nlabels: {x: canary-7}")
    assert result.spec().labels == ()
    assert "contains a secret" in result.dropped["labels.x"].message
