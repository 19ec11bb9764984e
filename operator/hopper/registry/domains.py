"""Index of domains: the instance that may have a host name in its Ingress, among all namespaces that are served.

The first claim on a host has precedence. An Ingress is a claim since its creation, so precedence survives a restart of
the operator. An instance without an Ingress reserves its hosts when it is reconciled, if no other instance claims them.
A wildcard is also a claim on the hosts below it, and on wildcards below it. Within a namespace it is not, because there
a wildcard beside single hosts does no harm: the Ingress controller prefers the exact host.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterator

from hopper.api.resources import Manifest, NamespacedName

# Sort after every creationTimestamp.
_RESERVED = "~"
_NO_CLAIM = "~~"


class DomainIndex:
    """Claims on domains. `on_change` is called with namespace and name of instances that must be reconciled."""

    def __init__(self) -> None:
        self.on_change: Callable[[str, str], None] = lambda namespace, name: None
        self._claims: dict[str, dict[NamespacedName, str]] = {}  # host → claimants, each with its precedence
        self._reversed: list[str] = []  # claimed hosts, sorted by their labels from the last to the first
        self._ingresses: dict[NamespacedName, tuple[str, frozenset[str]]] = {}  # creationTimestamp and hosts
        self._reservations: dict[NamespacedName, frozenset[str]] = {}
        self._blockers: dict[NamespacedName, frozenset[NamespacedName]] = {}  # instance → instances it waits for
        self._waiting: dict[NamespacedName, set[NamespacedName]] = {}  # instance → instances that wait for it

    def __len__(self) -> int:
        return len(self._claims) + len(self._reversed) + len(self._blockers) + len(self._waiting)

    def put(self, namespace: str, instance: str, ingress: Manifest | None) -> None:
        """Store the Ingress of an instance; None if that has been deleted."""
        owner, found = (namespace, instance), _read_ingress(ingress) if ingress else ("", frozenset())
        old = self._ingresses.get(owner, ("", frozenset()))
        if found == old:
            return
        before = self._hosts(owner)
        if found[1]:
            self._ingresses[owner] = found
        else:
            self._ingresses.pop(owner, None)
        self._update(owner, before)
        for host in found[1]:
            mine = (self._claims[host][owner], owner)
            for other in [other for other in self._competitors(owner, host) if other > mine]:
                self.on_change(*other[1])
            if self._blocker(owner, host):
                self.on_change(*owner)

    def reserve(
        self, namespace: str, instance: str, hosts: Collection[str], predecessor: str | None = None
    ) -> dict[str, NamespacedName]:
        """Reserve hosts for an instance, in place of those before; return the taken hosts, each with its holder.

        An instance inherits the claims of its predecessor: they do not hinder it, and it has them afterwards.
        """
        owner = (namespace, instance)
        blockers = {host: self._blocker(owner, host, predecessor) for host in hosts}
        taken = {host: blocker for host, blocker in blockers.items() if blocker is not None}
        before = self._hosts(owner)
        if granted := frozenset(hosts) - taken.keys():
            self._reservations[owner] = granted
        else:
            self._reservations.pop(owner, None)
        self._update(owner, before)
        self._wait_for(owner, frozenset(taken.values()))
        return taken

    def _hosts(self, owner: NamespacedName) -> frozenset[str]:
        held: frozenset[str] = self._ingresses.get(owner, ("", frozenset[str]()))[1]
        return held | self._reservations.get(owner, frozenset())

    def _update(self, owner: NamespacedName, before: Collection[str]) -> None:
        """Bring the claims of an instance up to date, and report the instances that wait for a released one."""
        now = self._hosts(owner)
        created, held = self._ingresses.get(owner, ("", frozenset()))
        for host in now:
            if host not in self._claims:
                insort(self._reversed, _reverse(host))
            self._claims.setdefault(host, {})[owner] = created if host in held else _RESERVED
        released = set(before) - now
        for host in released:
            del self._claims[host][owner]
            if not self._claims[host]:
                del self._claims[host]
                del self._reversed[bisect_left(self._reversed, _reverse(host))]
        if released:
            for waiting in sorted(self._waiting.get(owner, ())):
                self.on_change(*waiting)

    def _wait_for(self, owner: NamespacedName, blockers: frozenset[NamespacedName]) -> None:
        for blocker in self._blockers.pop(owner, frozenset()) - blockers:
            self._waiting[blocker].discard(owner)
            if not self._waiting[blocker]:
                del self._waiting[blocker]
        for blocker in blockers:
            self._waiting.setdefault(blocker, set()).add(owner)
        if blockers:
            self._blockers[owner] = blockers

    def _blocker(self, owner: NamespacedName, host: str, predecessor: str | None = None) -> NamespacedName | None:
        """Return an instance whose claim has precedence over that of `owner`; None if there is none."""
        mine, ignored = (self._claims.get(host, {}).get(owner, _NO_CLAIM), owner), (owner[0], predecessor)
        older = (other for precedence, other in self._competitors(owner, host) if (precedence, other) < mine)
        return next((other for other in older if other != ignored), None)

    def _competitors(self, owner: NamespacedName, host: str) -> Iterator[tuple[str, NamespacedName]]:
        """Yield precedence and name of the other instances with a claim on the host, or on a part of it."""
        for other, precedence in self._claims.get(host, {}).items():
            if other != owner:
                yield precedence, other
        for overlapping in self._overlapping(host):
            for other, precedence in self._claims.get(overlapping, {}).items():
                if other[0] != owner[0]:
                    yield precedence, other

    def _overlapping(self, host: str) -> Iterator[str]:
        """Yield claimed wildcards above a host, and the claimed hosts below a wildcard."""
        labels = host.removeprefix("*.").split(".")
        yield from (f"*.{'.'.join(labels[start:])}" for start in range(1, len(labels)))
        if host.startswith("*."):
            prefix = ".".join(reversed(labels)) + "."
            for index in range(bisect_left(self._reversed, prefix), len(self._reversed)):
                if not self._reversed[index].startswith(prefix):
                    return
                if (below := _reverse(self._reversed[index])) != host:
                    yield below


def _reverse(host: str) -> str:
    return ".".join(reversed(host.split(".")))


def _read_ingress(ingress: Manifest) -> tuple[str, frozenset[str]]:
    hosts = (rule["host"] for rule in ingress.get("spec", {}).get("rules") or () if "host" in rule)
    return ingress["metadata"].get("creationTimestamp", ""), frozenset(hosts)
