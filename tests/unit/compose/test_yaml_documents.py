"""The YAML parser: scalars as docker compose reads them, merge keys, and limits for hostile files."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hopper.compose.reading.tracked_text import as_text
from hopper.compose.reading.yaml_documents import MAX_DEPTH, parse_plain_scalar, read_compose_documents
from hopper.compose.report import Report


def read(text: str) -> Any:
    report = Report()
    documents = read_compose_documents(text, report.reporter_for("f"))
    report.raise_problems()
    return documents[0]


def find_problem(text: str) -> str:
    report = Report()
    assert read_compose_documents(text, report.reporter_for("f")) == []
    (problem,) = report.problems
    return str(problem)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("no", "no"),
        ("22:22", "22:22"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("80", 80),
        ("-1", -1),
        ("0644", 0o644),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("08", "08"),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        (".5", 0.5),
        (".inf", math.inf),
        ("1.2.3", "1.2.3"),
        ("2024-01-01", "2024-01-01"),
        ("-", "-"),
        ("9" * 80, "9" * 80),
    ],
)
def test_plain_scalars_are_parsed(text: str, value: object) -> None:
    assert parse_plain_scalar(text) == value
    assert type(parse_plain_scalar(text)) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (1.0, "1"),
        (1.5, "1.5"),
        (1e20, "1" + "0" * 20),
        (1e21, "1e+21"),
        (None, ""),
        (-math.inf, "-Inf"),
    ],
)
def test_scalars_are_written_as_docker_compose_writes_them(value: object, text: str) -> None:
    assert as_text(value) == text


def test_quoted_scalars_are_text() -> None:
    assert read("a: '80'\nb: \"true\"\nc: !!str 80\nd: !!int '80'") == {"a": "80", "b": "true", "c": "80", "d": 80}


def test_two_escapes_of_one_character_are_combined() -> None:
    assert read('"\\ud83d\\udc30": "\\ud83d\\udc30 \\u00e4"') == {"\U0001f430": "\U0001f430 \u00e4"}


def test_keys_are_text() -> None:
    assert read("80: a\ntrue: b\n~: c") == {"80": "a", "true": "b", "~": "c"}


def test_merge_keys_are_applied() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\none: {<<: *x, b: 3}\ntwo: {<<: [*x, *y], d: 4}"
    document = read(text)
    assert document["one"] == {"a": 1, "b": 3}
    assert document["two"] == {"a": 1, "b": 1, "c": 2, "d": 4}


def test_tabs_between_tokens_are_allowed() -> None:
    text = "a: b\t# why\nc:\td\t\ne: [1,\t2,\n\t3]\nf: {g:\t'h'\t}\ni: |\n  j\tk\n"
    assert read(text) == {"a": "b", "c": "d", "e": [1, 2, 3], "f": {"g": "h"}, "i": "j\tk\n"}


def test_a_merge_key_can_have_an_explicit_tag() -> None:
    assert read("x: &x {a: 1}\ny:\n  !!merge <<: *x\n  b: 2")["y"] == {"a": 1, "b": 2}


def test_merge_keys_can_be_repeated_in_any_place() -> None:
    document = read("x: &x {a: 1}\ny: &y {b: 2}\nz:\n  c: 3\n  <<: *x\n  <<: *y")
    assert document["z"] == {"a": 1, "b": 2, "c": 3}


def test_the_last_duplicate_key_is_kept_and_reported() -> None:
    report = Report()
    assert read_compose_documents("a: 1\nb: 2\na: 3", report.reporter_for("f")) == [{"a": 3, "b": 2}]
    assert "the key in line 3 is a duplicate" in report.findings[0].message


def test_unknown_tags_are_ignored_and_noted() -> None:
    report = Report()
    assert read_compose_documents("a: !vault secret\nb: !!python/object:os.system {}", report.reporter_for("f")) == [
        {"a": "secret", "b": {}}
    ]
    assert "the tag in line 1 is unknown to compose" in str(report.findings[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML in line 1, column 6"),
        ("a: *unknown", "undefined alias"),
        ("? [a]\n: 1", "the key in line 1 is not text"),
        ("a: &a [*a]", "the anchor in line 1 contains itself"),
        ("a: &a {<<: *a}", "the anchor in line 1 contains itself"),
        ("<<: 1", "in line 1 is not a mapping"),
        ("- a", "must be a mapping, and this is not: begin with `services:`"),
        ("text", "must be a mapping"),
        ("a: \0", "characters that are not text"),
        ('a: "\\UFFFFFFFF"', "invalid escapes"),
        ('a: "\\ud83d"', "in line 1 contains half of a surrogate pair"),
        ('"\\ud83d": a', "in line 1 contains half of a surrogate pair"),
        ("[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5), "nested deeper"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_invalid_yaml_is_a_problem(text: str, message: str) -> None:
    assert message in find_problem(text)


def test_aliases_count_towards_the_size_limit() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    assert "with its aliases expanded" in find_problem("\n".join(lines))


def test_problems_do_not_quote_the_text() -> None:
    assert "hunter2" not in find_problem("password: hunter2\n  token: [")


def test_empty_documents_are_skipped() -> None:
    report = Report()
    assert read_compose_documents("---\n---\na: 1\n---\n", report.reporter_for("f")) == [{"a": 1}]
