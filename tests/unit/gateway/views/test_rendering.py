"""JSON that is joined from parts matches the models, and follows changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from pydantic import TypeAdapter

from hopper.api.enums import Phase
from hopper.domain.tree import TreeNode
from hopper.gateway.models import instances as models
from hopper.gateway.views.caches import RenderCache
from hopper.gateway.views.rendering import InstanceRenderer, instances_in
from hopper.gateway.views.resources import view_instance
from tests.unit.domain.sample_instances import instance

FIRST, SECOND, THIRD = (instance(name, phase=Phase.RUNNING) for name in ("a", "b", "c"))
TREE = TreeNode(FIRST, 0, [TreeNode(SECOND, 1, [TreeNode(THIRD, 2)]), TreeNode(THIRD, 1)])


def as_model(node: TreeNode) -> models.Node:
    return models.Node(view_instance(node.instance), [as_model(node) for node in node.children], node.depth)


async def test_a_page_matches_its_model() -> None:
    adapter = TypeAdapter(models.InstancePage)
    for result, total, skip, limit, more in (
        ([FIRST, SECOND], 3, 0, 2, True),
        ([THIRD], 3, 2, 2, False),
        ([], 3, 9, 2, False),
    ):
        page = models.InstancePage([view_instance(entry) for entry in result], total, skip, limit, more)
        text = await InstanceRenderer(int).page(result, total, skip, limit)
        assert adapter.validate_json(text) == page
        assert len(text) == len(adapter.dump_json(page))


async def test_a_list_matches_its_models() -> None:
    result = TypeAdapter(list[models.InstanceView]).validate_json(await InstanceRenderer(int).list_of([FIRST, SECOND]))
    assert result == [view_instance(FIRST), view_instance(SECOND)]
    assert await InstanceRenderer(int).list_of([]) == b"[]"


async def test_a_tree_matches_its_model() -> None:
    result = TypeAdapter(models.Hierarchy).validate_json(await InstanceRenderer(int).hierarchy(TREE, 4))
    assert result == models.Hierarchy(as_model(TREE), 4)
    assert [instance.name for instance in instances_in(TREE)] == ["a", "b", "c", "c"]


def test_a_new_version_is_rendered_again() -> None:
    renderer = InstanceRenderer(int)
    before = renderer.instance(FIRST)
    assert renderer.instance(FIRST) is before
    newer = replace(FIRST, metadata=replace(FIRST.metadata, resource_version="99", labels={"x": "y"}))
    assert b'"x":"y"' in renderer.instance(newer)


def test_the_size_is_bounded_by_the_number_of_objects() -> None:
    """The cache holds all existing objects, so that a repeated read of all of them hits it."""
    texts: RenderCache[str] = RenderCache(lambda: 5000)
    written = Counter[str]()

    def write(uid: str) -> bytes:
        written[uid] += 1
        return uid.encode()

    for _ in range(3):
        for number in range(5000):
            uid = str(number)
            assert texts.get(uid, "1", lambda uid=uid: write(uid)) == uid.encode()  # type: ignore[misc]
    assert written.total() == 5000
    for number in range(100_000):
        texts.get(f"gone-{number}", "1", lambda: b"")
    assert len(texts) <= 11_000
