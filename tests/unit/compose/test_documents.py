"""YAML as docker compose reads it, and hostile YAML."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hopper.compose.reading.documents import MAX_DEPTH, read_documents
from hopper.compose.reading.scalars import plain_scalar
from hopper.compose.reading.text import as_text
from hopper.compose.report import Report


def read(text: str) -> Any:
    report = Report()
    documents = read_documents(text, report.about("f"))
    report.raise_problems()
    return documents[0]


def problem(text: str) -> str:
    report = Report()
    assert read_documents(text, report.about("f")) == []
    (found,) = report.problems
    return str(found)


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
def test_plain_scalars(text: str, value: object) -> None:
    assert plain_scalar(text) == value
    assert type(plain_scalar(text)) is type(value)


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
def test_scalars_as_text(value: object, text: str) -> None:
    assert as_text(value) == text


def test_quoted_scalars_stay_text() -> None:
    assert read("a: '80'\nb: \"true\"\nc: !!str 80\nd: !!int '80'") == {"a": "80", "b": "true", "c": "80", "d": 80}


def test_characters_in_two_escapes() -> None:
    assert read('"\\ud83d\\udc30": "\\ud83d\\udc30 \\u00e4"') == {"\U0001f430": "\U0001f430 \u00e4"}


def test_keys_are_text() -> None:
    assert read("80: a\ntrue: b\n~: c") == {"80": "a", "true": "b", "~": "c"}


def test_merges() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\none: {<<: *x, b: 3}\ntwo: {<<: [*x, *y], d: 4}"
    document = read(text)
    assert document["one"] == {"a": 1, "b": 3}
    assert document["two"] == {"a": 1, "b": 1, "c": 2, "d": 4}


def test_tabs_between_words() -> None:
    text = "a: b\t# why\nc:\td\t\ne: [1,\t2,\n\t3]\nf: {g:\t'h'\t}\ni: |\n  j\tk\n"
    assert read(text) == {"a": "b", "c": "d", "e": [1, 2, 3], "f": {"g": "h"}, "i": "j\tk\n"}


def test_merging_with_its_tag_written_out() -> None:
    assert read("x: &x {a: 1}\ny:\n  !!merge <<: *x\n  b: 2")["y"] == {"a": 1, "b": 2}


def test_merging_twice_and_in_any_place() -> None:
    document = read("x: &x {a: 1}\ny: &y {b: 2}\nz:\n  c: 3\n  <<: *x\n  <<: *y")
    assert document["z"] == {"a": 1, "b": 2, "c": 3}


def test_of_equal_keys_the_last_one_wins_and_it_is_reported() -> None:
    report = Report()
    assert read_documents("a: 1\nb: 2\na: 3", report.about("f")) == [{"a": 3, "b": 2}]
    assert "the key in line 3 is there already" in report.findings[0].message


def test_unknown_tags_are_ignored_and_noted() -> None:
    report = Report()
    assert read_documents("a: !vault secret\nb: !!python/object:os.system {}", report.about("f")) == [
        {"a": "secret", "b": {}}
    ]
    assert "the tag in line 1 means nothing" in str(report.findings[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "not YAML in line 1, column 6"),
        ("a: *nobody", "undefined alias"),
        ("? [a]\n: 1", "the key in line 1 is no name"),
        ("a: &a [*a]", "the anchor in line 1 is part of itself"),
        ("a: &a {<<: *a}", "the anchor in line 1 is part of itself"),
        ("<<: 1", "merges no mapping"),
        ("- a", "not a mapping: begin with `services:`"),
        ("text", "not a mapping"),
        ("a: \0", "characters that no text has"),
        ('a: "\\UFFFFFFFF"', "impossible escapes"),
        ('a: "\\ud83d"', "in line 1 has half of a character"),
        ('"\\ud83d": a', "in line 1 has half of a character"),
        ("[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5), "nested deeper"),
        ("[" * 5000, "nested too deep"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    assert said in problem(text)


def test_aliases_cannot_explode() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    assert "with its aliases written out" in problem("\n".join(lines))


def test_messages_do_not_quote_the_text() -> None:
    assert "hunter2" not in problem("password: hunter2\n  token: [")


def test_empty_documents_are_passed_over() -> None:
    report = Report()
    assert read_documents("---\n---\na: 1\n---\n", report.about("f")) == [{"a": 1}]
