"""Lists in chunks of any size are the same lists."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.adapters.lists import ListReader

VERSION = {"resourceVersion": "42"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ['"items": [', "]", "}, {", '\\"', '], "items":null', "🚀\x85\u2028"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=6)


def read(text: bytes, size: int) -> tuple[list[dict[str, Any]], str]:
    reader = ListReader()
    found = [it for start in range(0, len(text), size) for it in reader.feed(text[start : start + size])]
    return found, reader.resource_version()


@given(
    objects=OBJECTS,
    size=st.integers(1, 200),
    metadata_first=st.booleans(),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 2]),
)
def test_any_list_in_any_chunks(
    objects: list[dict[str, Any]], size: int, metadata_first: bool, ascii_only: bool, indent: int | None
) -> None:
    # Built-in kinds come with the metadata first, custom ones with the keys in order.
    listed = (
        {"kind": "PodList", "metadata": VERSION, "items": objects}
        if metadata_first
        else {"apiVersion": "hopper.dev/v1", "items": objects, "kind": "HopperInstanceList", "metadata": VERSION}
    )
    separators = None if indent else (",", ":")
    text = json.dumps(listed, ensure_ascii=ascii_only, indent=indent, separators=separators)
    assert read(text.encode(), size) == (objects, "42")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_empty_list_may_be_null(size: int) -> None:
    assert read(b'{"kind":"PodList","metadata":{"resourceVersion":"42"},"items":null}', size) == ([], "42")
    assert read(b'{"items":null,"metadata":{"resourceVersion":"42"}}', size) == ([], "42")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"null",
        b'{"metadata":{"resourceVersion":"42"}}',
        b'{"items":[',
        b'{"items":[{"a":1}',
        b'{"items":[{"a":1},',
        b'{"items":[{"a":1]',
        b'{"items":[{"a":1}]',
        b'{"items":[{"a":1}],"metadata":{"resourceVersion":"4',
    ],
)
def test_what_breaks_off_is_no_list(text: bytes) -> None:
    with pytest.raises(ValueError, match="incomplete or invalid"):
        read(text, 5)


def test_objects_come_as_soon_as_they_are_complete() -> None:
    reader = ListReader()
    assert reader.feed(b'{"items":[{"a":1},{"a"') == [{"a": 1}]
    assert reader.feed(b":2}") == [{"a": 2}]
    assert reader.feed(b",") == []
