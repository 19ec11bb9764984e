"""Many instances as JSON, put together from what was written of each before: most of them have not changed since."""

from collections.abc import Callable, Iterable, Iterator

from pydantic import TypeAdapter

from hopper.api.instance import HopperInstance
from hopper.domain.tree import TreeNode
from hopper.gateway.models.instances import InstanceView
from hopper.gateway.views.instances import view_instance
from hopper.gateway.views.texts import Texts
from hopper.gateway.views.whole import in_slices

_VIEW = TypeAdapter(InstanceView)


class Rendered:
    """The JSON of an `InstanceView`, and of what holds many of them. About 800 bytes are kept of each instance."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._texts: Texts[str] = Texts(count)

    def of(self, instance: HopperInstance) -> bytes:
        """Return an instance as it stands in a list."""
        metadata = instance.metadata
        return self._texts.get(
            metadata.uid, metadata.resource_version, lambda: _VIEW.dump_json(view_instance(instance))
        )

    async def list_of(self, instances: Iterable[HopperInstance]) -> bytes:
        """Return the JSON of a list of `InstanceView`."""
        return b"[%b]" % b",".join(await in_slices(instances, self.of))

    async def page(self, instances: list[HopperInstance], total: int, skip: int, limit: int) -> bytes:
        """Return the JSON of an `InstancePage`."""
        more = b"true" if instances and skip + len(instances) < total else b"false"
        numbers = b'"total":%d,"skip":%d,"limit":%d,"has_more":%b' % (total, skip, limit, more)
        return b'{"items":%b,%b}' % (await self.list_of(instances), numbers)

    async def hierarchy(self, root: TreeNode, total: int) -> bytes:
        """Return the JSON of a `Hierarchy`."""
        parts = await in_slices(_brackets(root), self._part)
        return b'{"root":%b,"total_instances":%d}' % (b"".join(parts), total)

    def _part(self, it: TreeNode | bytes) -> bytes:
        if isinstance(it, bytes):
            return it
        return b'{"instance":%b,"depth":%d,"children":[' % (self.of(it.instance), it.depth)


def _brackets(root: TreeNode) -> Iterator[TreeNode | bytes]:
    """Yield the nodes of a tree, each before those below it, and what stands between them and at their end.

    Without recursion: nothing stops people from making a chain of a thousand instances.
    """
    left = list[TreeNode | bytes]([root])
    while left:
        it = left.pop()
        yield it
        if isinstance(it, TreeNode):
            left.append(b"]}")
            for number, child in reversed(list(enumerate(it.children))):
                left.append(child)
                if number:
                    left.append(b",")


def flat(root: TreeNode) -> Iterator[HopperInstance]:
    """Yield everybody in a tree."""
    nodes = [root]
    for node in nodes:
        yield node.instance
        nodes += node.children
