"""The beginning of a takeover: which status write is one, and when another successor was faster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopper.api.enums import Phase, Scope
from hopper.api.instance import HopperInstance, RenamedFrom
from hopper.domain.renaming import takeover_of, takeover_start
from tests.unit.domain.sample_instances import InMemoryTree, instance

PREDECESSOR = instance("shop-a", Scope.PROJECT, phase=Phase.RUNNING)


def successor(name: str = "shop-b", *, begun: bool = False, **fields: object) -> HopperInstance:
    new = instance(name, Scope.PROJECT, phase=Phase.CREATED, renamed_from=RenamedFrom(name="shop-a"), **fields)
    return replace(new, status=replace(new.status, predecessor="uid-shop-a")) if begun else new


@pytest.mark.parametrize(
    ("planned", "writes", "others", "begins", "conflict"),
    [
        pytest.param(successor(), "uid-shop-a", (), True, None, id="names its predecessor"),
        pytest.param(successor(), None, (), False, None, id="names none yet"),
        pytest.param(successor(begun=True), "uid-shop-a", (), False, None, id="has begun before"),
        pytest.param(
            successor(),
            "uid-shop-a",
            (successor("shop-c", begun=True),),
            True,
            '"shop-c" already takes over',
            id="too late",
        ),
        pytest.param(successor(), "uid-shop-a", (successor("shop-c"),), True, None, id="first by name"),
    ],
)
def test_the_write_that_names_the_predecessor_begins_the_takeover(
    planned: HopperInstance, writes: str | None, others: tuple[HopperInstance, ...], begins: bool, conflict: str | None
) -> None:
    takeover = takeover_of(planned, InMemoryTree((planned, PREDECESSOR)))
    start = takeover_start(
        planned, takeover, replace(planned.status, predecessor=writes), InMemoryTree((planned, PREDECESSOR, *others))
    )
    assert (start is not None) is begins
    if start:
        assert start.predecessor == PREDECESSOR
        assert (start.conflict is None) if conflict is None else (conflict in (start.conflict or ""))


def test_an_instance_without_a_takeover_begins_none() -> None:
    plain = instance("web")
    assert takeover_start(plain, None, plain.status, InMemoryTree((plain,))) is None
