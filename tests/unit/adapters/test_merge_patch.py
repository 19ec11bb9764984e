"""JSON merge patches, against the algorithm of RFC 7386."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.adapters.custom_resources import merge_patch

KEYS = st.sampled_from(["a", "b", "c", "d"])
LEAVES = st.one_of(st.booleans(), st.integers(-2, 2), st.floats(allow_nan=False), st.text(max_size=2))
# In a merge patch, null means removal: no document that it turns out has one, except within lists.
LISTS = st.lists(st.one_of(LEAVES, st.none(), st.dictionaries(KEYS, st.none() | LEAVES, max_size=2)), max_size=3)
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(st.one_of(LEAVES, LISTS), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8),
    max_size=4,
)


def apply(target: Any, patch: Any) -> Any:
    """Apply a patch as RFC 7386, section 2, says."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply(result.get(name), value)
    return result


def same(one: Any, other: Any) -> bool:
    """Compare as JSON does: 1 is not true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    """They test the algorithm above, which the others rely on."""
    assert apply(target, patch) == result


@given(old=DOCUMENTS, new=DOCUMENTS)
def test_turns_the_old_into_the_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert same(apply(old, merge_patch(old, new)), new)


@given(old=DOCUMENTS)
def test_nothing_is_written_where_nothing_differs(old: dict[str, Any]) -> None:
    assert merge_patch(old, old) == {}


@given(old=DOCUMENTS, new=DOCUMENTS)
def test_nothing_is_written_that_does_not_differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Leaving out any part of the patch leaves something undone."""
    patch = merge_patch(old, new)
    for smaller in without_one(patch):
        assert not same(apply(old, smaller), new)


def without_one(patch: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for key, value in patch.items():
        rest = {k: v for k, v in patch.items() if k != key}
        found.append(rest)
        if isinstance(value, dict):
            found += [{**rest, key: smaller} for smaller in without_one(value)]
    return found
