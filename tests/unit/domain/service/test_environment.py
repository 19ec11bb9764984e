"""References between environment variables, and the order that Kubernetes needs to expand them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.service import EnvEntry
from hopper.domain.service.environment import find_reference_cycle, referenced_names, sort_by_reference


def entries(**values: str) -> list[EnvEntry]:
    return [EnvEntry(name=name, value=value) for name, value in values.items()]


@pytest.mark.parametrize(
    ("value", "names"),
    [("$(A)$(B)", {"A", "B"}), ("$$(A)", set()), ("$$$(A)", {"A"}), ("$A ${B} $()", set()), ("", set())],
)
def test_finds_the_referenced_names(value: str, names: set[str]) -> None:
    assert referenced_names(value) == names


def test_a_variable_follows_the_variables_it_refers_to() -> None:
    ordered = [
        entry.name for entry in sort_by_reference(entries(A="$(B)", B="$(C)$(D)", C="", D="$(ELSEWHERE)", E="$(E)"))
    ]
    assert ordered == ["C", "D", "E", "B", "A"]


def test_a_cycle_is_found_and_keeps_the_given_order() -> None:
    cycle = entries(A="$(B)", B="$(C)", C="$(A)")
    found_cycle = find_reference_cycle(cycle)
    assert found_cycle is not None
    assert set(found_cycle) == {"A", "B", "C"}
    assert sort_by_reference(cycle) == tuple(cycle)
    assert find_reference_cycle(entries(A="$(A)", B="$(A)")) is None


@given(st.dictionaries(st.sampled_from("ABCDEF"), st.sampled_from(["", "$(A)", "$(B)$(C)", "$(F)", "$$(A)"])))
def test_sorting_keeps_all_variables(values: dict[str, str]) -> None:
    given_entries = entries(**values)
    ordered = sort_by_reference(given_entries)
    assert sorted(entry.name for entry in ordered) == sorted(values)
    if find_reference_cycle(given_entries) is None:
        names = [entry.name for entry in ordered]
        for entry in ordered:
            before = referenced_names(str(entry.value)) & values.keys() - {entry.name}
            assert before <= set(names[: names.index(entry.name)])
