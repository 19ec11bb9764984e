"""Many instances as JSON, put together from what was written of each before: most of them have not changed since."""

from collections.abc import Iterable, Iterator

from pydantic import TypeAdapter

from hopper.api.instance import HopperInstance
from hopper.domain.tree import Node
from hopper.gateway.models.instances import InstanceView
from hopper.gateway.views.instances import view_instance

_VIEW = TypeAdapter(InstanceView)


class Rendered:
    """The JSON of an `InstanceView` by uid, with the version it was made of. The oldest make room: 800 bytes each."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._known: dict[str, tuple[str, bytes]] = {}

    def of(self, instance: HopperInstance) -> bytes:
        """Return an instance as it stands in a list."""
        uid, version = instance.metadata.uid, instance.metadata.resource_version
        known = self._known.get(uid)
        if known is not None and known[0] == version:
            return known[1]
        text = _VIEW.dump_json(view_instance(instance))
        self._known.pop(uid, None)
        self._known[uid] = version, text
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return text

    def list_of(self, instances: Iterable[HopperInstance]) -> bytes:
        """Return the JSON of a list of `InstanceView`."""
        return b"[" + b",".join(map(self.of, instances)) + b"]"

    def page(self, instances: list[HopperInstance], total: int, skip: int, limit: int) -> bytes:
        """Return the JSON of an `InstancePage`."""
        more = b"true" if instances and skip + len(instances) < total else b"false"
        numbers = b'"total":%d,"skip":%d,"limit":%d,"has_more":%b' % (total, skip, limit, more)
        return b'{"items":%b,%b}' % (self.list_of(instances), numbers)

    def hierarchy(self, root: Node, total: int) -> bytes:
        """Return the JSON of a `Hierarchy`.

        Without recursion: nothing stops people from making a chain of a thousand instances.
        """
        parts, left = [b'{"root":'], list[Node | bytes]([root])
        while left:
            it = left.pop()
            if isinstance(it, bytes):
                parts.append(it)
                continue
            parts += (b'{"instance":', self.of(it.instance), b',"depth":%d,"children":[' % it.depth)
            left.append(b"]}")
            for number, child in reversed(list(enumerate(it.children))):
                left.append(child)
                if number:
                    left.append(b",")
        parts.append(b',"total_instances":%d}' % total)
        return b"".join(parts)

    def __len__(self) -> int:
        return len(self._known)


def flat(root: Node) -> Iterator[HopperInstance]:
    """Yield everybody in a tree."""
    nodes = [root]
    for node in nodes:
        yield node.instance
        nodes += node.children
