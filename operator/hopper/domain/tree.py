"""Walks over the hierarchy as `spec.parentRef` draws it. Instances may name each other in a cycle: none goes round."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hopper.api.instance import HopperInstance
from hopper.domain.hierarchy import Tree


@dataclass(frozen=True, slots=True)
class TreeNode:
    """An instance with what is below it; `depth` counts from the node that was asked for."""

    instance: HopperInstance
    depth: int = 0
    children: list["TreeNode"] = field(default_factory=list)


def ancestors(instance: HopperInstance, tree: Tree) -> Iterator[HopperInstance]:
    """Yield those above an instance, nearest first, up to the first one that does not exist."""
    seen, step = {instance.name}, instance.parent_name
    while step is not None and step not in seen:
        seen.add(step)
        above = tree.get(step)
        if above is None:
            return
        yield above
        step = above.parent_name


def is_below(instance: HopperInstance, name: str, tree: Tree) -> bool:
    """Tell whether an instance is among the descendants of a name; one that is called so need not exist."""
    nearest = (instance, *ancestors(instance, tree))
    return name != instance.name and any(it.parent_name == name for it in nearest)


def descendants(name: str, tree: Tree) -> Iterator[HopperInstance]:
    """Yield those below a name, nearest first; an instance of that name need not exist."""
    seen, layer = {name}, [name]
    while layer:
        below = []
        for above in layer:
            for child in tree.children(above):
                if child.name not in seen:
                    seen.add(child.name)
                    below.append(child.name)
                    yield child
        layer = below


def subtree(root: HopperInstance, tree: Tree, depth: int | None = None) -> tuple[TreeNode, int]:
    """Return an instance with those below it, down to `depth` levels (None: all), and how many nodes that makes."""
    top = TreeNode(root)
    nodes, layer = {root.name: top}, [top]
    while layer and (depth is None or layer[0].depth < depth):
        below = []
        for node in layer:
            for child in sorted(tree.children(node.instance.name), key=lambda it: it.name):
                if child.name not in nodes:
                    nodes[child.name] = TreeNode(child, node.depth + 1)
                    node.children.append(nodes[child.name])
                    below.append(nodes[child.name])
        layer = below
    return top, len(nodes)
