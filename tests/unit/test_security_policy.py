"""SECURITY.md names tests that exist, and answers every kind of threat with one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_TABLE = re.compile(r"^<!-- threats -->\n(.*?)^<!-- end of threats -->$", re.MULTILINE | re.DOTALL)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::((?:\w+::)?test_\w+)`")


def threats() -> list[list[str]]:
    """Return the rows of the table, without the header."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    tables = _TABLE.findall(text)
    assert len(tables) == 1, "SECURITY.md needs one table between the comments `threats` and `end of threats`"
    _, _, *rows = tables[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@cache
def defined_tests(file: str) -> frozenset[str]:
    """Return the tests of a file: `test_name`, or `TestClass::test_name`."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    methods = [(cls.name, node) for cls in body if isinstance(cls, ast.ClassDef) for node in cls.body]
    return frozenset(
        [node.name for node in body if isinstance(node, functions)]
        + [f"{name}::{node.name}" for name, node in methods if isinstance(node, functions)]
    )


THREATS = threats()


@pytest.mark.parametrize("row", THREATS, ids=lambda row: f"{row[1]}-{row[2][:40]}")
def test_every_threat_has_an_answer_and_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 5, "a row has the cells asset, actor, threat, answer and tests"
    assert all(row)
    named = _TEST.findall(row[4])
    assert named, "name at least one test, in the form `tests/….py::test_…`"
    assert _TEST.sub("", row[4]).strip() == "", "a test has the form `tests/….py::TestClass::test_name`"
    assert [f"{file}::{test}" for file, test in named if test not in defined_tests(file)] == []


def test_no_threat_is_listed_twice() -> None:
    assert len({(asset, actor, threat) for asset, actor, threat, *_ in THREATS}) == len(THREATS)


def test_the_table_covers_the_ways_into_the_system() -> None:
    """The ways are authors, readers, callers, stolen tokens, networks and suppliers."""
    actors = " ".join(actor for _, actor, *_ in THREATS)
    for actor in (
        "author",
        "reader",
        "caller",
        "API key",
        "operator's token",
        "gateway's token",
        "network",
        "supplier",
    ):
        assert actor in actors, f"SECURITY.md names no threat by: {actor}"
