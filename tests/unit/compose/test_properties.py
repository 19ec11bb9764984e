"""Properties of the conversion of any input: no crash, no silent loss, no manifest that the operator refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopper.compose.convert import Conversion, convert
from hopper.compose.reading.file_readers import DirectoryReader, ReaderWithInput
from hopper.compose.reading.short_syntax import (
    parse_port_range,
    parse_seconds,
    parse_short_port,
    parse_short_volume,
    parse_size,
)
from hopper.compose.report import ComposeError, Finding
from hopper.compose.services.shell_words import split_command_line
from hopper.compose.services.unsupported import KEYS
from hopper.domain.service.merge import merge
from hopper.domain.service.problems import find_problems

INPUT = Path("-")
CONVERTED = (
    *("image", "command", "entrypoint", "environment", "env_file", "ports", "expose", "volumes", "tmpfs", "shm_size"),
    *(
        "healthcheck",
        "labels",
        "label_file",
        "user",
        "working_dir",
        "depends_on",
        "links",
        "restart",
        "deploy",
        "scale",
    ),
    *("mem_limit", "mem_reservation", "cpus", "cpu_quota", "cpu_period", "secrets", "configs", "extends", "profiles"),
    *("x-devarch-config", "build", "cap_add"),
)
NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def convert_text(text: str, stack: str | None = None) -> Conversion | None:
    """Return the conversion of a text, or None if it is refused."""
    try:
        return convert(
            [INPUT],
            lambda source: ReaderWithInput(
                DirectoryReader(source.directory), INPUT, text.encode(errors="surrogatepass")
            ),
            stack=stack,
        )
    except ComposeError as error:
        problems = error.problems
    assert problems
    assert all(problem.message and problem.fix for problem in problems)
    return None


SCALAR_TEXTS = (
    *("80:80", "8000-8010:80", "127.0.0.1:80:80/udp", "[::1]:1:2", "a:/b", "/a", "./x:/y:ro", "~/x:/y", "A=b", "A"),
    *("${X}", "${X:-1}:2", "${", "$", "$$(A)", "1m30s", "512m", "0.5", "1000:1000", "db", "web", "CMD", "NONE"),
    *("service_healthy", "on-failure:3", "always", "http://u:pw123456@db:5432/", "sh -c 'a b' && c", "\ud7ff", "\x07"),
)
NESTED_KEYS = (
    *("test", "interval", "disable", "retries", "source", "target", "type", "published", "mode", "size", "tmpfs"),
    *("resources", "limits", "reservations", "cpus", "memory", "replicas", "condition", "required", "restart_policy"),
    *(
        "delay",
        "max_attempts",
        "labels",
        "path",
        "file",
        "service",
        "x-y",
        "external",
        "name",
        "content",
        "driver_opts",
    ),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 70000), st.floats(), st.text(max_size=8), st.sampled_from(SCALAR_TEXTS)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NESTED_KEYS), st.text(max_size=4)), inner, max_size=3),
    ),
    max_leaves=6,
)
services = st.dictionaries(st.sampled_from([*CONVERTED, *KEYS, "unknown"]), values, max_size=6)
models = st.fixed_dictionaries(
    {"services": st.dictionaries(st.sampled_from(["db", "web", "a_b", "a-b", "A.B"]), services, max_size=3)},
    optional=dict.fromkeys(("volumes", "configs", "secrets", "networks", "include", "name", "version", "x-a"), values),
)


@NO_DEADLINE
@given(st.text(alphabet="abc:- \n{}[]&*!<|>'\"#,?%@`$\t0.~", max_size=60))
def test_any_text_is_converted_or_refused(text: str) -> None:
    convert_text(text)


@NO_DEADLINE
@given(models, st.sampled_from([None, "shop"]))
def test_any_model_is_converted_or_refused(model: dict[str, Any], stack: str | None) -> None:
    result = convert_text(yaml.safe_dump(model, allow_unicode=True), stack)
    for service in result.services if result else ():
        assert find_problems(merge(service.spec, None)) == ()
    json.dumps(result.manifests() if result else None)


def _visible_result(result: Conversion) -> tuple[object, ...]:
    return result.manifests(), [(f.key, f.outcome, f.message) for f in result.findings]


def _is_about(finding: Finding, key: str) -> bool:
    return finding.key == key or finding.key.startswith((f"{key}.", f"{key}["))


@NO_DEADLINE
@given(st.sampled_from([key for key in (*CONVERTED, *KEYS, "unknown", "x-own") if key != "image"]), values)
def test_no_key_is_ignored_silently(key: str, value: Any) -> None:
    """The result or the report differs with and without the key."""
    without = convert_text(yaml.safe_dump({"services": {"web": {"image": "a"}}}), "s")
    result = convert_text(yaml.safe_dump({"services": {"web": {"image": "a", key: value}}}, allow_unicode=True), "s")
    assert without is not None
    if result is not None and value not in ({}, []) and not (value == "" and isinstance(value, str)):
        assert _visible_result(result) != _visible_result(without) or _has_no_effect(key, value)


def _has_no_effect(key: str, value: Any) -> bool:
    """Whether a value is empty at every level, or equals the default."""
    text = json.dumps(value, default=str)
    empty = not any(char.isalnum() for char in text.replace("null", "").replace("false", "")) or "$" in text
    return empty or key in ("cpu_period", "mem_limit", "cpus", "mem_reservation", "shm_size", "depends_on", "env_file")


@NO_DEADLINE
@given(
    st.sampled_from(
        ["", "healthcheck", "deploy", "deploy.resources", "deploy.resources.limits", "ports[0]", "volumes[0]"]
    ),
    st.from_regex(r"[a-z]{3,8}_[a-z]{3,8}x", fullmatch=True),
    values,
)
def test_unknown_keys_are_reported_with_their_path(place: str, key: str, value: Any) -> None:
    service: dict[str, Any] = {
        "image": "a",
        "healthcheck": {"test": "a"},
        "deploy": {"resources": {"limits": {"memory": "1m"}}},
        "ports": [{"target": 80}],
        "volumes": [{"type": "volume", "target": "/a"}],
    }
    node = service
    for step in filter(None, place.replace("[0]", ".0").split(".")):
        node = node[int(step)] if isinstance(node, list) else node[step]
    node[key] = value
    result = convert_text(yaml.safe_dump({"services": {"web": service}}, allow_unicode=True))
    assert result is not None
    path = f"{place}.{key}" if place else key
    assert any(_is_about(finding, path) for finding in result.findings)


@NO_DEADLINE
@given(
    st.sampled_from(["DB_PASSWORD", "API_TOKEN", "MY_SECRET", "SOME_KEY", "app.credential"]),
    st.from_regex(r"canary-[a-z0-9]{6,20}", fullmatch=True),
    st.sampled_from(
        [
            "environment: {%(name)s: %(value)s}",
            "environment: ['%(name)s=%(value)s']",
            "environment: {URL: 'postgres://u:%(value)s@db:5432/x'}",
            "environment: {%(name)s: %(value)s, OTHER: 'has %(value)s inside'}\nlabels: {a: %(value)s}",
            "environment: {%(name)s: %(value)s}\ncommand: [app, x%(value)sy]\nentrypoint: sh -c 'echo %(value)s'",
            "environment: {%(name)s: %(value)s}\nhealthcheck: {test: 'curl h/%(value)s'}",
            "environment: {%(name)s: %(value)s}\nhealthcheck: {test: [CMD, curl, 'h/%(value)s']}",
            "command: app --password %(value)s",
            "command: [app, '--api-token=%(value)s']",
            "healthcheck: {test: [CMD, redis-cli, -a, %(value)s, ping]}",
            "environment: {%(name)s: '${NOT_SET:-%(value)s}'}",
            "environment: {X: '${A_PASSWORD:-%(value)s}'}\ncommand: echo ${A_PASSWORD:-%(value)s}",
        ]
    ),
)
def test_a_secret_is_only_in_the_secret(name: str, value: str, form: str) -> None:
    keys = form % {"name": name, "value": value}
    indented = "".join(f"    {line}\n" for line in keys.splitlines())
    result = convert_text(f"services:\n  app:\n    image: a\n{indented}", "s")
    assert result is not None
    assert any(value in secret for secret in result.services[0].secrets.values())
    assert value not in json.dumps([manifest for manifest in result.manifests() if manifest["kind"] != "Secret"])
    assert not any(value in str(finding) for finding in result.findings)


@given(st.text(max_size=40))
@pytest.mark.parametrize(
    "parse", [parse_short_port, parse_short_volume, split_command_line, parse_port_range, parse_seconds, parse_size]
)
def test_parsers_of_short_syntaxes_accept_any_text(parse: Any, text: str) -> None:
    parse(text)
