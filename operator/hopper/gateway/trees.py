"""A tree as JSON, written without recursion: nothing stops people from making a chain of a thousand instances."""

from collections.abc import Iterator

from pydantic import TypeAdapter

from hopper.api.instance import HopperInstance
from hopper.domain.tree import Node
from hopper.gateway.models.instances import InstanceView
from hopper.gateway.views import view_instance

_VIEW = TypeAdapter(InstanceView)


def dump_hierarchy(root: Node, total: int) -> bytes:
    """Return the JSON of a `models.instances.Hierarchy`."""
    parts, left = [b'{"root":'], list[Node | bytes]([root])
    while left:
        it = left.pop()
        if isinstance(it, bytes):
            parts.append(it)
            continue
        parts += (b'{"instance":', _VIEW.dump_json(view_instance(it.instance)), b',"depth":%d,"children":[' % it.depth)
        left.append(b"]}")
        for number, child in reversed(list(enumerate(it.children))):
            left.append(child)
            if number:
                left.append(b",")
    parts.append(b',"total_instances":%d}' % total)
    return b"".join(parts)


def flat(root: Node) -> Iterator[HopperInstance]:
    """Yield everybody in a tree."""
    nodes = [root]
    for node in nodes:
        yield node.instance
        nodes += node.children
