"""JSON within limits: what is kept, what is replaced, and what a free-form field may hold."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings

from hopper.api.bounded_json import (
    MAX_DECODED_DEPTH,
    MAX_FREE_FORM_DEPTH,
    decode_json,
    decode_json_at,
    free_form_problem,
    reduce_json,
)
from tests.unit.adapters.test_lists import OBJECTS
from tests.unit.hostile_json import deep_text, hostile_texts


def depth_of(value: Any) -> int:
    depth, level = 0, [value]
    while level := [
        child
        for parent in level
        if isinstance(parent, dict | list)
        for child in (parent.values() if isinstance(parent, dict) else parent)
    ]:
        depth += 1
    return depth


@given(objects=OBJECTS)
def test_ordinary_json_is_decoded_as_by_python(objects: list[dict[str, Any]]) -> None:
    text = json.dumps(objects)
    assert decode_json(text) == decode_json(f" {text}\n".encode()) == objects
    assert json.loads(reduce_json(text.encode())) == objects


@pytest.mark.parametrize("brackets", [('{"a":', "}"), ("[", "]")], ids=["objects", "lists"])
@pytest.mark.parametrize("depth", [MAX_DECODED_DEPTH, MAX_DECODED_DEPTH + 1, 900, 1200, 9990])
def test_deeper_values_become_null(depth: int, brackets: tuple[str, str]) -> None:
    leaf = "[]" if depth == MAX_DECODED_DEPTH else "1"
    text = deep_text(depth, *brackets, leaf)
    assert depth_of(decode_json(text)) == MAX_DECODED_DEPTH
    assert decode_json(text) == decode_json(deep_text(MAX_DECODED_DEPTH, *brackets, "null"))
    around = f'{{"before":[1,"}}"],"deep":{text},"after":{{"a":[{{}}]}}}}'
    value = decode_json(around)
    assert (value["before"], value["after"]) == ([1, "}"], {"a": [{}]})
    assert json.loads(reduce_json(around.encode())) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9" * 5000, math.inf),
        ("-" + "9" * 5000, -math.inf),
        ("1e400", math.inf),
        ("0." + "3" * 5000, 1 / 3),
        ("12345678901234567890123", 12345678901234567890123),
        ('"\\ud800"', "\ufffd"),
        ('"a\\uDC00\\ud800"', "a\ufffd\ufffd"),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\\\ud800"', "\\ud800"),
        ('"' + "9" * 5000 + '"', "9" * 5000),
        ('{"a":1,"a":2}', {"a": 2}),
    ],
    ids=range(11),
)
def test_values_that_python_cannot_hold_are_replaced(text: str, expected: Any) -> None:
    for wrapped in (text, f'{{"x":[{text}]}}', deep_text(90, leaf=text)):
        value = decode_json(wrapped)
        assert json.loads(json.dumps(value)) == value
        while isinstance(value, dict) and (len(value) == 1) and value != expected:
            value = value.get("a", value.get("x"))
        assert value in (expected, [expected])


@given(text=hostile_texts())
@settings(max_examples=60, deadline=None)
def test_any_json_can_be_decoded_compared_and_encoded(text: str) -> None:
    value, other = decode_json(text), decode_json(text.encode())
    assert depth_of(value) <= MAX_DECODED_DEPTH
    assert json.dumps(value) == json.dumps(other)
    json.dumps(value, ensure_ascii=False).encode()
    if text.startswith(("{", "[")):
        assert json.dumps(json.loads(reduce_json(text.encode()))) == json.dumps(value)
    assert decode_json_at(f"[{text} , 1]", 1)[1] == 1 + len(text)


@pytest.mark.parametrize(
    "text", ["", "{", "[1", '{"a":"', deep_text(5000)[:-1], '{"a":[[' + "[" * 2000, "nul", "1 2", "<html>"]
)
def test_incomplete_or_invalid_json_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_json(text)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (decode_json(deep_text(MAX_FREE_FORM_DEPTH)), None),
        (decode_json(deep_text(MAX_FREE_FORM_DEPTH, "[", "]")), None),
        (decode_json(deep_text(MAX_FREE_FORM_DEPTH + 1)), "nested more than 64 levels deep"),
        (decode_json(deep_text(9000, "[", "]")), "nested more than 64 levels deep"),
        ({"a": [math.inf]}, "too large"),
        ({"a": math.nan}, "not a number"),
        ({"a": 10**400}, "too large"),
        ({"a": 10**300, "b": -1e308, "c": True, "d": None}, None),
        ({"a": "\ud800"}, "not valid Unicode"),
        ({"\ud800": 1}, "not valid Unicode"),
        ({"a": "x" * 2**20, "b": ["ü"] * 10_000}, None),
    ],
    ids=range(11),
)
def test_a_free_form_value_has_limits(value: Any, problem: str | None) -> None:
    found = free_form_problem(value)
    assert (found is None) if problem is None else (problem in (found or ""))


def test_a_value_that_yaml_aliases_repeat_or_nest_in_itself_is_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    bomb: Any = "a"
    for _ in range(60):
        bomb = [bomb] * 10
    assert "levels deep" in (free_form_problem(cycle) or "")
    assert "values" in (free_form_problem(bomb) or "")
