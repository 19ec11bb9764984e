"""Hosts, origins and paths that the gateway does not serve, and the security headers of its answers."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest

from hopper.gateway.http.responses import SECURITY_HEADERS
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway


@pytest.fixture
def local_gateway(gateway: InMemoryGateway) -> InMemoryGateway:
    """A gateway with `--auth none`."""
    gateway.context.settings = replace(gateway.context.settings, local_only=True)
    return gateway


PATHS = ("/api/v1/instances", "/healthz", "/metrics", "/docs", "/openapi.json", "/nothing")


@pytest.mark.parametrize("host", ["localhost:8090", "127.0.0.1", "127.8.8.8:8090", "[::1]:8090", "LOCALHOST"])
async def test_local_requests_are_served_without_authentication(local_gateway: InMemoryGateway, host: str) -> None:
    origin = f"http://{host}"
    for headers in ({"host": host}, {"host": host, "origin": origin}):
        assert (await local_gateway.get("/instances", headers=headers)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "localhost.evil.example:8090"},
        {"host": "evil.example", "origin": "http://evil.example"},
        {"host": "localhost", "origin": "https://evil.example"},
        {"host": "localhost:8090", "origin": "http://localhost:3000"},
        {"host": "localhost:8090", "origin": "http://127.0.0.1:8090"},
        {"host": "localhost:8090", "origin": "https://localhost:8090"},
        {"host": "localhost", "origin": "null"},
        {"host": "[::1"},
        {"host": ""},
    ],
)
async def test_foreign_requests_are_refused_without_authentication(
    local_gateway: InMemoryGateway, headers: dict[str, str], path: str
) -> None:
    response = await local_gateway.client.get(f"http://gateway{path}", headers=headers)
    assert_problem(response, 403, "Forbidden")


async def test_two_hosts_are_refused(local_gateway: InMemoryGateway) -> None:
    headers = [("host", "localhost"), ("host", "evil.example")]
    assert (await local_gateway.get("/instances", headers=headers)).status_code == 403


async def test_allowed_hosts(gateway: InMemoryGateway) -> None:
    gateway.context.settings = replace(gateway.context.settings, allowed_hosts=frozenset({"hopper.example.org"}))
    codes = {}
    for host in ("hopper.example.org:8443", "Hopper.example.org", "localhost", "10.0.0.7:8080"):
        for path in ("/api/v1/instances", "/healthz"):
            response = await gateway.client.get(f"http://gateway{path}", headers={"host": host})
            codes[host, path] = response.status_code
    assert [code for (_, path), code in codes.items() if path == "/healthz"] == [200] * 4
    assert [code for (_, path), code in codes.items() if path != "/healthz"] == [200, 200, 403, 403]


async def test_an_allowed_host_adds_to_the_loopback_addresses(local_gateway: InMemoryGateway) -> None:
    settings = local_gateway.context.settings
    local_gateway.context.settings = replace(settings, allowed_hosts=frozenset({"dev.example.org"}))
    for host, code in (("dev.example.org", 200), ("localhost", 200), ("example.org", 403)):
        assert (await local_gateway.get("/instances", headers={"host": host})).status_code == code


@pytest.mark.parametrize(
    "path",
    ["/instances/web%2Fstatus", "/instances/web%2fpause", "/instances%2Fweb", "/instances/a%5Cb", "/instances/%2F"],
)
async def test_an_encoded_separator_selects_no_route(gateway: InMemoryGateway, path: str) -> None:
    gateway.instance("web")
    for method in ("GET", "POST", "DELETE"):
        assert_problem(await gateway.client.request(method, path), 404, "NotFound")


async def test_every_answer_has_security_headers(gateway: InMemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.instance("web")
    answers = [
        await gateway.client.get(f"http://gateway{path}") for path in (*PATHS, "/static-offline-docs/swagger-ui.css")
    ]
    etag = answers[0].headers["etag"]
    answers.append(await gateway.get("/instances", headers={"if-none-match": etag}))
    assert answers[-1].status_code == 304
    answers.append(await gateway.post("/instances", {"name": 1}))
    answers.append(await gateway.get("/instances%2Fweb"))

    monkeypatch.setattr(gateway.context, "authority", None)
    answers.append(await gateway.get("/registry/topology"))
    assert answers[-1].status_code == 500
    for answer in answers:
        wanted = dict(SECURITY_HEADERS)
        if answer.url.path == "/docs":
            wanted["content-security-policy"] = answer.headers["content-security-policy"]
        assert {name: answer.headers.get(name) for name in wanted} == wanted, answer.url


async def test_caches_ask_again(gateway: InMemoryGateway) -> None:
    gateway.instance("web")
    assert (await gateway.get("/instances/web")).headers["cache-control"] == "private, no-cache"
    assert (await gateway.get("/instances/nobody")).headers["cache-control"] == "no-store"


async def test_the_docs_page_may_run_only_its_own_script(gateway: InMemoryGateway) -> None:
    page = await gateway.client.get("http://gateway/docs")
    policy = page.headers["content-security-policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "frame-ancestors 'none'" in policy
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert (await gateway.client.get(f"http://gateway{path}")).status_code == 200, path
