"""Index of instances: the latest version of each, by name, uid, parent, template and facet."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from hopper.api.instance import HopperInstance
from hopper.api.resources import NamespacedName
from hopper.domain.dependencies import may_wait_for_sibling
from hopper.registry.facets import Facet, FacetIndex

_MAX_TOMBSTONES = 10_000
_NO_PARENT = ""
_AFTER_ANY_NAME = "\x7f"  # sorts after all characters of a name


@dataclass(frozen=True, slots=True)
class InstanceChange:
    """Change of the index. `old` is None for a new instance, `new` for a deleted instance."""

    old: HopperInstance | None
    new: HopperInstance | None

    @property
    def instance(self) -> HopperInstance:
        """The new version, or the last version of a deleted instance."""
        instance = self.new or self.old
        assert instance is not None
        return instance


class NamespaceIndex:
    """The instances of one namespace. Implements `domain.tree.Tree`."""

    def __init__(self) -> None:
        self._by_name: dict[str, HopperInstance] = {}
        self._children: dict[str, dict[str, HopperInstance]] = {}
        self._services: dict[str, dict[str, HopperInstance]] = {}
        self._waiting_services: dict[str, dict[str, HopperInstance]] = {}
        self._dependents: dict[str, dict[str, HopperInstance]] = {}  # uid of the owner → instances
        self._reserved_slots: dict[str, str] = {}  # name of the child → uid of the parent
        self._users: dict[str, dict[str, HopperInstance]] = {}
        self._by_uid: dict[str, str] = {}
        self._facets = FacetIndex()
        self._sorted: list[str] | None = []  # all names; None if they have to be sorted again
        self._successors: dict[str, dict[str, HopperInstance]] = {}

    def get(self, name: str) -> HopperInstance | None:
        return self._by_name.get(name)

    def by_uid(self, uid: str) -> HopperInstance | None:
        name = self._by_uid.get(uid)
        return self._by_name[name] if name else None

    @property
    def names(self) -> Sequence[str]:
        """All names, sorted."""
        if self._sorted is None:
            self._sorted = sorted(self._by_name)
        return self._sorted

    def in_order(self) -> list[HopperInstance]:
        """Return all instances, sorted by name."""
        return [self._by_name[name] for name in self.names]

    def names_with_prefix(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with a prefix, sorted."""
        names = self.names
        return names[bisect_left(names, prefix) : bisect_left(names, prefix + _AFTER_ANY_NAME)]

    def names_with_facet(self, facet: Facet) -> Collection[str]:
        """Return the names of the instances with a facet (see `registry.facets`), a parent or a template."""
        kind, value = facet
        groups = {"parent": self._children, "template": self._users}.get(kind)
        return self._facets[facet] if groups is None else groups.get(value, {}).keys()

    def with_heartbeat(self, shard: int) -> Iterator[HopperInstance]:
        """Yield the instances of a heartbeat shard that have a `spec.heartbeat`."""
        yield from (self._by_name[name] for name in self._facets["heartbeat", str(shard)])

    def children(self, name: str) -> Collection[HopperInstance]:
        """Return the instances whose `parentRef` names `name`. That parent need not exist."""
        return self._children.get(name, {}).values()

    def services(self, name: str | None) -> Collection[HopperInstance]:
        """Return the children of an instance that have a template. None stands for the instances without a parent."""
        return self._services.get(name or _NO_PARENT, {}).values()

    def waiting_services(self, name: str | None) -> Collection[HopperInstance]:
        """Return those of `services` that wait for a dependency, or have no status yet and may have to wait."""
        return self._waiting_services.get(name or _NO_PARENT, {}).values()

    def dependents(self, uid: str) -> Collection[HopperInstance]:
        """Return the instances with this uid in their ownerReferences. Their `parentRef` may name another parent."""
        return self._dependents.get(uid, {}).values()

    def successors(self, name: str) -> Collection[HopperInstance]:
        """Return the instances whose `renamedFrom` names `name`. That predecessor need not exist."""
        return self._successors.get(name, {}).values()

    def has_reserved_slot(self, child: HopperInstance, parent: HopperInstance) -> bool:
        return self._reserved_slots.get(child.name) == parent.metadata.uid

    @contextmanager
    def reserve_slot(self, child: HopperInstance, parent: HopperInstance) -> Iterator[None]:
        """Reserve a child slot of the parent while the ownerReference of the child is written.

        Two children may compete for the last slot. A takeover reserves its predecessor in the same way while the status
        of the successor is written (`spec.renamedFrom`).
        """
        self._reserved_slots[child.name] = parent.metadata.uid
        try:
            yield
        finally:
            del self._reserved_slots[child.name]

    def users(self, template: str) -> Collection[HopperInstance]:
        """Return the instances whose `templateRef` names `template`. That template need not exist."""
        return self._users.get(template, {}).values()

    def __iter__(self) -> Iterator[HopperInstance]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def facet_count(self) -> int:
        """Number of facets that at least one instance has."""
        return len(self._facets)

    @property
    def groups(self) -> int:
        """Number of groups of instances, such as the children of a parent."""
        groups = self._children, self._services, self._waiting_services, self._dependents, self._users, self._successors
        return sum(map(len, groups)) + len(self._facets)

    def put(self, instance: HopperInstance) -> None:
        name, uid = instance.name, instance.metadata.uid
        old = self._by_name.get(name)
        if old is None:
            self._sorted = None
        else:
            self._remove_from_groups(old)
            if old.metadata.uid != uid:
                del self._by_uid[old.metadata.uid]
        self._by_name[name] = instance
        self._by_uid[uid] = name
        self._facets.update(name, old, instance)
        for group, key in self._groups(instance):
            group.setdefault(key, {})[name] = instance

    def discard(self, name: str) -> None:
        old = self._by_name.pop(name, None)
        if old is None:
            return
        self._sorted = None
        del self._by_uid[old.metadata.uid]
        self._facets.update(name, old, None)
        self._remove_from_groups(old)

    def _remove_from_groups(self, old: HopperInstance) -> None:
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
                yield self._waiting_services, instance.parent_name or _NO_PARENT
            yield self._users, instance.spec.template_ref.name
        if instance.spec.renamed_from:
            yield self._successors, instance.spec.renamed_from.name
        for uid in {reference.uid for reference in instance.metadata.owner_references}:
            yield self._dependents, uid


class InstanceIndex:
    """The instances of all namespaces.

    Versions come from watch events and from the answers to own writes, in any order. The latest version wins.
    """

    def __init__(self) -> None:
        self._namespaces: dict[str, NamespaceIndex] = {}
        # The uids of deleted instances, because the answer to a write may arrive after the deletion event.
        self._tombstones: OrderedDict[str, None] = OrderedDict()

    def namespace(self, name: str) -> NamespaceIndex:
        """Return the index of a namespace; an empty index if the namespace has no instances."""
        return self._namespaces.get(name) or NamespaceIndex()

    @property
    def namespaces(self) -> Mapping[str, NamespaceIndex]:
        """The namespaces with instances."""
        return MappingProxyType(self._namespaces)

    @property
    def tombstones(self) -> int:
        """Number of deleted instances that the index remembers."""
        return len(self._tombstones)

    def __iter__(self) -> Iterator[HopperInstance]:
        for index in self._namespaces.values():
            yield from index

    def __len__(self) -> int:
        return sum(map(len, self._namespaces.values()))

    def has_version(self, namespace: str, name: str, version: str) -> bool:
        """Whether the index holds exactly this resourceVersion of an instance."""
        index = self._namespaces.get(namespace)
        instance = index.get(name) if index else None
        return instance is not None and instance.metadata.resource_version == version

    def uids(self) -> dict[NamespacedName, str]:
        """Return the uids of all instances, by namespace and name."""
        return {(instance.namespace, instance.name): instance.metadata.uid for instance in self}

    def put(self, instance: HopperInstance) -> InstanceChange | None:
        """Store a version of an instance; return the change, or None if the index holds that or a newer version."""
        if instance.metadata.uid in self._tombstones:
            return None
        index = self._namespaces.setdefault(instance.namespace, NamespaceIndex())
        old = index.get(instance.name)
        if old and _version(old) >= _version(instance):
            return None
        index.put(instance)
        return InstanceChange(old, instance)

    def remove(self, namespace: str, name: str, uid: str) -> InstanceChange | None:
        """Remove a deleted instance; return the change, or None if it is not in the index."""
        self._tombstones[uid] = None
        while len(self._tombstones) > _MAX_TOMBSTONES:
            self._tombstones.popitem(last=False)
        index = self._namespaces.get(namespace)
        old = index.get(name) if index else None
        if index is None or old is None or old.metadata.uid != uid:
            return None
        index.discard(name)
        if not len(index):
            del self._namespaces[namespace]
        return InstanceChange(old, None)


def _version(instance: HopperInstance) -> int:
    # Since 1.35, Kubernetes guarantees that the resourceVersions of one resource can be compared.
    return int(instance.metadata.resource_version)
