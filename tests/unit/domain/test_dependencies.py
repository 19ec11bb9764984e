"""Siblings that wait for each other."""

from __future__ import annotations

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Phase, Scope
from hopper.api.instance import HopperInstance, Metadata
from hopper.api.template import HopperTemplate, TemplateSpec
from hopper.domain.dependencies import find_circle, waits_for
from hopper.domain.observed import Runtime
from hopper.domain.planner import plan
from hopper.registry import InstanceIndex
from tests.unit.domain.builders import NOW, instance, observe


def template(*depends_on: str) -> HopperTemplate:
    metadata = Metadata(name="t", namespace="default", uid="t", creation_timestamp=NOW)
    return HopperTemplate(metadata=metadata, spec=TemplateSpec(image="web", depends_on=depends_on or None))


def circle(subject: str, edges: dict[str, tuple[str, ...]], **phases: Phase) -> tuple[str, ...]:
    """Find the circle on which one of the services of the stack "shop" is; all are Created, or in the phase given."""
    registry = InstanceIndex()
    for name in edges:
        phase = phases.get(name, Phase.CREATED)
        registry.put(instance(f"shop-{name}", Scope.ORCHESTRATION, parent="shop", phase=phase))
    tree = registry.namespace("default")

    def template_of(service: HopperInstance) -> HopperTemplate:
        return template(*edges[service.name.removeprefix("shop-")])

    start = tree.get(f"shop-{subject}")
    assert start
    return find_circle(start, template_of, tree)


def test_a_circle_is_found_by_all_who_are_on_it() -> None:
    edges = {"a": ("b",), "b": ("c", "x"), "c": ("shop-a",), "x": (), "outside": ("a",)}
    assert circle("a", edges) == ("shop-a", "shop-b", "shop-c", "shop-a")
    assert circle("c", edges) == ("shop-c", "shop-a", "shop-b", "shop-c")
    assert circle("x", edges) == circle("outside", edges) == ()


def test_who_is_on_its_way_breaks_the_circle() -> None:
    edges = {"a": ("b",), "b": ("a",)}
    assert circle("a", edges, b=Phase.STARTING) == ()
    assert circle("a", edges, b=Phase.ERROR) == ("shop-a", "shop-b", "shop-a")


def test_nobody_waits_for_itself() -> None:
    assert circle("a", {"a": ("a", "shop-a")}) == ()
    registry = InstanceIndex()
    alone = instance("shop-a", Scope.ORCHESTRATION, parent="shop", phase=Phase.CREATED)
    registry.put(alone)
    assert waits_for(alone, template("a"), registry.namespace("default")) == ()


def test_a_circle_is_said_and_does_not_go_on_without_help() -> None:
    runtime = Runtime(owned={}, waits_for=("shop-b, which is Created",), circle=("shop-a", "shop-b", "shop-a"))
    status = plan(observe(instance(phase=Phase.CREATED), runtime=runtime)).status
    assert status
    stalled = status.condition(ConditionType.STALLED)
    assert stalled
    assert stalled.reason == Reason.DEPENDENCY_NOT_READY
    assert stalled.message == (
        "waits in a circle: shop-a → shop-b → shop-a (dependsOn of their templates); remove one of these dependencies"
    )
