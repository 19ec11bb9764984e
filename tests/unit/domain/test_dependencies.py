"""Dependencies between siblings, and cycles of them."""

from __future__ import annotations

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import Phase, Scope
from hopper.api.instance import HopperInstance
from hopper.api.model import Metadata
from hopper.api.template import HopperTemplate, TemplateSpec
from hopper.domain.dependencies import find_dependency_cycle, missing_dependencies
from hopper.domain.observed import Runtime
from hopper.domain.planner import plan
from hopper.registry import InstanceIndex
from tests.unit.domain.sample_instances import NOW, instance, observe


def template(*depends_on: str) -> HopperTemplate:
    metadata = Metadata(name="t", namespace="default", uid="t", creation_timestamp=NOW)
    return HopperTemplate(metadata=metadata, spec=TemplateSpec(image="web", depends_on=depends_on or None))


def cycle(subject: str, edges: dict[str, tuple[str, ...]], **phases: Phase) -> tuple[str, ...]:
    """Return the cycle through one service of the stack "shop"; services are Created unless a phase is given."""
    registry = InstanceIndex()
    for name in edges:
        phase = phases.get(name, Phase.CREATED)
        registry.put(instance(f"shop-{name}", Scope.ORCHESTRATION, parent="shop", phase=phase))
    tree = registry.namespace("default")

    def template_of(service: HopperInstance) -> HopperTemplate:
        return template(*edges[service.name.removeprefix("shop-")])

    start = tree.get(f"shop-{subject}")
    assert start
    return find_dependency_cycle(start, template_of, tree)


def test_every_service_on_a_cycle_finds_it() -> None:
    edges = {"a": ("b",), "b": ("c", "x"), "c": ("shop-a",), "x": (), "outside": ("a",)}
    assert cycle("a", edges) == ("shop-a", "shop-b", "shop-c", "shop-a")
    assert cycle("c", edges) == ("shop-c", "shop-a", "shop-b", "shop-c")
    assert cycle("x", edges) == cycle("outside", edges) == ()


def test_a_starting_service_breaks_the_cycle() -> None:
    edges = {"a": ("b",), "b": ("a",)}
    assert cycle("a", edges, b=Phase.STARTING) == ()
    assert cycle("a", edges, b=Phase.ERROR) == ("shop-a", "shop-b", "shop-a")


def test_a_service_never_depends_on_itself() -> None:
    assert cycle("a", {"a": ("a", "shop-a")}) == ()
    registry = InstanceIndex()
    alone = instance("shop-a", Scope.ORCHESTRATION, parent="shop", phase=Phase.CREATED)
    registry.put(alone)
    assert missing_dependencies(alone, template("a"), registry.namespace("default")) == ()


def test_a_cycle_stalls_the_instance_and_is_named_in_the_message() -> None:
    runtime = Runtime(
        owned={}, missing_dependencies=("shop-b, which is Created",), cycle=("shop-a", "shop-b", "shop-a")
    )
    status = plan(observe(instance(phase=Phase.CREATED), runtime=runtime)).status
    assert status
    stalled = status.condition(ConditionType.STALLED)
    assert stalled
    assert stalled.reason == Reason.DEPENDENCY_NOT_READY
    assert stalled.message == (
        "dependsOn in the templates forms a cycle: shop-a → shop-b → shop-a; remove one of these dependencies"
    )
