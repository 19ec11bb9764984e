"""JSON of many instances, joined from the cached JSON of each, because most have not changed since the last request."""

from collections.abc import Callable, Iterable, Iterator

from pydantic import TypeAdapter

from hopper.api.instance import HopperInstance
from hopper.domain.tree import TreeNode
from hopper.gateway.models.instances import InstanceView
from hopper.gateway.views.caches import RenderCache, render_in_slices
from hopper.gateway.views.resources import view_instance

_INSTANCE_VIEW = TypeAdapter(InstanceView)


class InstanceRenderer:
    """JSON of `InstanceView` and of the models that contain it. Caches about 800 bytes for each instance.

    `count` returns the number of instances that exist.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._cache: RenderCache[str] = RenderCache(count)

    def instance(self, instance: HopperInstance) -> bytes:
        """Return the JSON of an `InstanceView`."""
        metadata = instance.metadata
        return self._cache.get(
            metadata.uid, metadata.resource_version, lambda: _INSTANCE_VIEW.dump_json(view_instance(instance))
        )

    async def list_of(self, instances: Iterable[HopperInstance]) -> bytes:
        """Return the JSON of a list of `InstanceView`."""
        return b"[%b]" % b",".join(await render_in_slices(instances, self.instance))

    async def page(self, instances: list[HopperInstance], total: int, skip: int, limit: int) -> bytes:
        """Return the JSON of an `InstancePage`."""
        has_more = b"true" if instances and skip + len(instances) < total else b"false"
        numbers = b'"total":%d,"skip":%d,"limit":%d,"has_more":%b' % (total, skip, limit, has_more)
        return b'{"items":%b,%b}' % (await self.list_of(instances), numbers)

    async def hierarchy(self, root: TreeNode, total: int) -> bytes:
        """Return the JSON of a `Hierarchy`."""
        fragments = await render_in_slices(_fragments(root), self._fragment)
        return b'{"root":%b,"total_instances":%d}' % (b"".join(fragments), total)

    def _fragment(self, fragment: TreeNode | bytes) -> bytes:
        if isinstance(fragment, bytes):
            return fragment
        return b'{"instance":%b,"depth":%d,"children":[' % (self.instance(fragment.instance), fragment.depth)


def _fragments(root: TreeNode) -> Iterator[TreeNode | bytes]:
    """Yield the nodes of a tree in depth-first order, with the JSON text between and after them.

    Not recursive, because a chain of a thousand instances would exceed the recursion limit.
    """
    stack = list[TreeNode | bytes]([root])
    while stack:
        fragment = stack.pop()
        yield fragment
        if isinstance(fragment, TreeNode):
            stack.append(b"]}")
            for number, child in reversed(list(enumerate(fragment.children))):
                stack.append(child)
                if number:
                    stack.append(b",")


def instances_in(root: TreeNode) -> Iterator[HopperInstance]:
    """Yield all instances of a tree, nearest to the root first."""
    nodes = [root]
    for node in nodes:
        yield node.instance
        nodes += node.children
