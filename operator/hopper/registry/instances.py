"""Plain dictionaries over the newest known version of each instance: by name, uid, parent, template, and facets."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from hopper.api.instance import HopperInstance
from hopper.api.resources import NamespacedName
from hopper.domain.dependencies import may_wait_for_sibling
from hopper.registry.facets import Facet, Facets

_TOMBSTONES = 10_000
_NO_PARENT = ""
_LAST = "\x7f"  # comes after everything that a name may hold


@dataclass(frozen=True, slots=True)
class InstanceChange:
    """One change of the index; `old` is None for a new instance, `new` for one that is gone."""

    old: HopperInstance | None
    new: HopperInstance | None

    @property
    def subject(self) -> HopperInstance:
        """The instance, as it is or was last."""
        subject = self.new or self.old
        assert subject is not None
        return subject


class NamespaceIndex:
    """The instances of one namespace. Implements `domain.tree.Tree`."""

    def __init__(self) -> None:
        self._by_name: dict[str, HopperInstance] = {}
        self._children: dict[str, dict[str, HopperInstance]] = {}
        self._services: dict[str, dict[str, HopperInstance]] = {}
        self._held_back: dict[str, dict[str, HopperInstance]] = {}
        self._dependents: dict[str, dict[str, HopperInstance]] = {}  # uid of the owner → instances
        self._reserved_slots: dict[str, str] = {}  # name of the child → uid of the parent
        self._users: dict[str, dict[str, HopperInstance]] = {}
        self._by_uid: dict[str, str] = {}
        self._facets = Facets()
        self._sorted: list[str] | None = []  # the names; None until somebody asks, after one has come or gone
        self._successors: dict[str, dict[str, HopperInstance]] = {}

    def get(self, name: str) -> HopperInstance | None:
        return self._by_name.get(name)

    def by_uid(self, uid: str) -> HopperInstance | None:
        name = self._by_uid.get(uid)
        return self._by_name[name] if name else None

    @property
    def names(self) -> Sequence[str]:
        """All names, in order."""
        if self._sorted is None:
            self._sorted = sorted(self._by_name)
        return self._sorted

    def in_order(self) -> list[HopperInstance]:
        """Return all instances by name."""
        return [self._by_name[name] for name in self.names]

    def names_beginning(self, prefix: str) -> Sequence[str]:
        """Return the names that begin so, in order."""
        names = self.names
        return names[bisect_left(names, prefix) : bisect_left(names, prefix + _LAST)]

    def having(self, facet: Facet) -> Collection[str]:
        """Return the names of those that have a facet (see `registry.facets`)."""
        kind, value = facet
        groups = {"parent": self._children, "template": self._users}.get(kind)
        return self._facets[facet] if groups is None else groups.get(value, {}).keys()

    def expecting_beats(self, shard: int) -> Iterator[HopperInstance]:
        """Yield those of a shard that have a `spec.heartbeat`."""
        yield from (self._by_name[name] for name in self._facets["heartbeat", str(shard)])

    def children(self, name: str) -> Collection[HopperInstance]:
        """Return those whose `parentRef` names `name`, whether or not that exists."""
        return self._children.get(name, {}).values()

    def services(self, name: str | None) -> Collection[HopperInstance]:
        """Return those of the children that have a template; of those without a parent where `name` is None."""
        return self._services.get(name or _NO_PARENT, {}).values()

    def waiting_services(self, name: str | None) -> Collection[HopperInstance]:
        """Return those of the services that may wait for another one: they have said so, or nothing yet."""
        return self._held_back.get(name or _NO_PARENT, {}).values()

    def dependents(self, uid: str) -> Collection[HopperInstance]:
        """Return those that carry this uid in their ownerReferences, whatever parent they name by now."""
        return self._dependents.get(uid, {}).values()

    def successors(self, name: str) -> Collection[HopperInstance]:
        """Return those whose `renamedFrom` names `name`, whether or not that exists."""
        return self._successors.get(name, {}).values()

    def has_reserved_slot(self, child: HopperInstance, parent: HopperInstance) -> bool:
        return self._reserved_slots.get(child.name) == parent.metadata.uid

    @contextmanager
    def reserve_slot(self, child: HopperInstance, parent: HopperInstance) -> Iterator[None]:
        """Have the child's seat taken while its ownerReference is being written: two may be after the last one.

        So it is with the place of a predecessor, while a newcomer's status is being written (`spec.renamedFrom`).
        """
        self._reserved_slots[child.name] = parent.metadata.uid
        try:
            yield
        finally:
            del self._reserved_slots[child.name]

    def users(self, template: str) -> Collection[HopperInstance]:
        """Return those whose `templateRef` names `template`, whether or not that exists."""
        return self._users.get(template, {}).values()

    def __iter__(self) -> Iterator[HopperInstance]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def put(self, instance: HopperInstance) -> None:
        name, uid = instance.name, instance.metadata.uid
        old = self._by_name.get(name)
        if old is None:
            self._sorted = None
        else:
            self._leave_groups(old)
            if old.metadata.uid != uid:
                del self._by_uid[old.metadata.uid]
        self._by_name[name] = instance
        self._by_uid[uid] = name
        self._facets.move(name, old, instance)
        for group, key in self._groups(instance):
            group.setdefault(key, {})[name] = instance

    def discard(self, name: str) -> None:
        old = self._by_name.pop(name, None)
        if old is None:
            return
        self._sorted = None
        del self._by_uid[old.metadata.uid]
        self._facets.move(name, old, None)
        self._leave_groups(old)

    def _leave_groups(self, old: HopperInstance) -> None:
        for group, key in self._groups(old):
            del group[key][old.name]
            if not group[key]:
                del group[key]

    def _groups(self, instance: HopperInstance) -> Iterator[tuple[dict[str, dict[str, HopperInstance]], str]]:
        if instance.parent_name:
            yield self._children, instance.parent_name
        if instance.spec.template_ref:
            yield self._services, instance.parent_name or _NO_PARENT
            if may_wait_for_sibling(instance):
                yield self._held_back, instance.parent_name or _NO_PARENT
            yield self._users, instance.spec.template_ref.name
        if instance.spec.renamed_from:
            yield self._successors, instance.spec.renamed_from.name
        for uid in {reference.uid for reference in instance.metadata.owner_references}:
            yield self._dependents, uid


class InstanceIndex:
    """All namespaces. Fed from the watch and from the answers to our own writes, in any order: the newest wins."""

    def __init__(self) -> None:
        self._namespaces: dict[str, NamespaceIndex] = {}
        # The answer to a write may come in after the watch has reported the object gone.
        self._gone: OrderedDict[str, None] = OrderedDict()

    def namespace(self, name: str) -> NamespaceIndex:
        """Return the index of a namespace, empty where nothing is known of it."""
        return self._namespaces.get(name) or NamespaceIndex()

    @property
    def namespaces(self) -> Mapping[str, NamespaceIndex]:
        """The namespaces in which there are instances."""
        return MappingProxyType(self._namespaces)

    def __iter__(self) -> Iterator[HopperInstance]:
        for index in self._namespaces.values():
            yield from index

    def __len__(self) -> int:
        return sum(map(len, self._namespaces.values()))

    def knows(self, namespace: str, name: str, version: str) -> bool:
        """Tell whether it is exactly this version of an instance that is known."""
        index = self._namespaces.get(namespace)
        known = index.get(name) if index else None
        return known is not None and known.metadata.resource_version == version

    def uids(self) -> dict[NamespacedName, str]:
        """Return all known instances: uids by namespace and name."""
        return {(it.namespace, it.name): it.metadata.uid for it in self}

    def put(self, instance: HopperInstance) -> InstanceChange | None:
        """Take in a version of an instance; return what changed, None for what is not newer than what is known."""
        if instance.metadata.uid in self._gone:
            return None
        index = self._namespaces.setdefault(instance.namespace, NamespaceIndex())
        old = index.get(instance.name)
        if old and _version(old) >= _version(instance):
            return None
        index.put(instance)
        return InstanceChange(old, instance)

    def remove(self, namespace: str, name: str, uid: str) -> InstanceChange | None:
        """Take out an instance that is gone; return what changed, None where it was not there."""
        self._gone[uid] = None
        while len(self._gone) > _TOMBSTONES:
            self._gone.popitem(last=False)
        index = self._namespaces.get(namespace)
        old = index.get(name) if index else None
        if index is None or old is None or old.metadata.uid != uid:
            return None
        index.discard(name)
        if not len(index):
            del self._namespaces[namespace]
        return InstanceChange(old, None)


def _version(instance: HopperInstance) -> int:
    # Comparable within one resource of one API server, which Kubernetes guarantees since 1.35.
    return int(instance.metadata.resource_version)
