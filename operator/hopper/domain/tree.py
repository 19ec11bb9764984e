"""Lookups and walks over the tree that `spec.parentRef` describes.

A parent may be missing, and instances may name each other in a cycle. Every walk ends in both cases.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance


class Tree(Protocol):
    """Lookups in the instances of one namespace."""

    def get(self, name: str) -> HopperInstance | None:
        """Return the instance of that name."""

    def children(self, name: str) -> Collection[HopperInstance]:
        """Return the instances whose `spec.parentRef` names `name`, whether or not that instance exists."""

    def dependents(self, uid: str) -> Collection[HopperInstance]:
        """Return the instances with this uid in their ownerReferences, whatever parent they name now."""

    def waiting_services(self, parent_name: str | None) -> Collection[HopperInstance]:
        """Return the children with a template that may wait for a sibling (see `may_wait_for_sibling`).

        With None, return those among the instances that name no parent.
        """

    def successors(self, name: str) -> Collection[HopperInstance]:
        """Return the instances whose `spec.renamedFrom` names `name`, whether or not that instance exists."""

    def has_reserved_slot(self, child: HopperInstance, parent: HopperInstance) -> bool:
        """Whether a write is in progress that gives the child a slot of the parent."""


@dataclass(frozen=True, slots=True)
class TreeNode:
    """An instance with the nodes of its children."""

    instance: HopperInstance
    depth: int = 0
    """Number of levels below the root of the walk."""
    children: list["TreeNode"] = field(default_factory=list)


def ancestors(instance: HopperInstance, tree: Tree) -> Iterator[HopperInstance]:
    """Yield the ancestors, nearest first, up to the first one that does not exist."""
    seen, name = {instance.name}, instance.parent_name
    while name is not None and name not in seen:
        seen.add(name)
        ancestor = tree.get(name)
        if ancestor is None:
            return
        yield ancestor
        name = ancestor.parent_name


def is_below(instance: HopperInstance, name: str, tree: Tree) -> bool:
    """Whether the instance is a descendant of `name`, whether or not an instance of that name exists."""
    lineage = (instance, *ancestors(instance, tree))
    return name != instance.name and any(member.parent_name == name for member in lineage)


def descendants(name: str, tree: Tree) -> Iterator[HopperInstance]:
    """Yield the descendants of `name`, nearest first, whether or not an instance of that name exists."""
    seen, layer = {name}, [name]
    while layer:
        next_layer = []
        for parent in layer:
            for child in tree.children(parent):
                if child.name not in seen:
                    seen.add(child.name)
                    next_layer.append(child.name)
                    yield child
        layer = next_layer


def subtree(root: HopperInstance, tree: Tree, depth: int | None = None) -> tuple[TreeNode, int]:
    """Return the node of `root` and the number of nodes, down to `depth` levels (None: all), children by name."""
    top = TreeNode(root)
    nodes, layer = {root.name: top}, [top]
    while layer and (depth is None or layer[0].depth < depth):
        next_layer = []
        for node in layer:
            for child in sorted(tree.children(node.instance.name), key=lambda instance: instance.name):
                if child.name not in nodes:
                    nodes[child.name] = TreeNode(child, node.depth + 1)
                    node.children.append(nodes[child.name])
                    next_layer.append(nodes[child.name])
        layer = next_layer
    return top, len(nodes)


def find_parent_cycle(instance: HopperInstance, tree: Tree) -> tuple[str, ...] | None:
    """Return the names on the cycle of parents that the instance is part of, with its own name first and last."""
    names, name = [instance.name], instance.parent_name
    while name is not None:
        names.append(name)
        if name == instance.name:
            return tuple(names)
        ancestor = tree.get(name)
        if ancestor is None or name in names[:-1]:  # the second: a cycle of ancestors, without this instance
            return None
        name = ancestor.parent_name
    return None


def predecessor_of(successor: HopperInstance, tree: Tree) -> HopperInstance | None:
    """Return the instance that `spec.renamedFrom` names, while the takeover is open; else None.

    A successor that left Created without a predecessor never had one. An instance that got the name later is a
    different one.
    """
    renamed, status = successor.spec.renamed_from, successor.status
    named = tree.get(renamed.name) if renamed else None
    if named is None or successor.metadata.deletion_timestamp:
        return None
    if status.predecessor is None:
        return named if status.phase is Phase.CREATED else None
    return named if status.predecessor == named.metadata.uid else None
