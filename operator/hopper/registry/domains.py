"""Index of domains: which instances claim a domain in their Ingress. The oldest claim comes first.

A later claim is reported together with the oldest claim, and the oldest claim together with the second. So a new claim
affects at most one other instance, however many instances claim the domain.
"""

from bisect import insort
from collections.abc import Callable, Iterator

from hopper.api.resources import Manifest, NamespacedName

# The creationTimestamp of the Ingress, and the name of the instance.
Claim = tuple[str, str]


class DomainIndex:
    """Claims of domains. `on_change` is called with namespace and name of each instance with a different competitor."""

    def __init__(self) -> None:
        self.on_change: Callable[[str, str], None] = lambda namespace, name: None
        self._claims: dict[NamespacedName, list[Claim]] = {}  # namespace and domain → claims, oldest first
        # Namespace and instance → creationTimestamp of the Ingress, and its domains.
        self._ingresses: dict[NamespacedName, tuple[str, tuple[str, ...]]] = {}

    def __len__(self) -> int:
        return len(self._claims) + len(self._ingresses)

    def put(self, namespace: str, instance: str, ingress: Manifest | None) -> None:
        """Store the Ingress of an instance; None if that has been deleted."""
        old_created, old_domains = self._ingresses.get((namespace, instance), ("", ()))
        created, domains = _read_ingress(ingress) if ingress else ("", ())
        if (created, domains) == (old_created, old_domains):
            return
        if domains:
            self._ingresses[namespace, instance] = created, domains
        else:
            self._ingresses.pop((namespace, instance), None)
        affected: set[str] = set()
        for domain in dict.fromkeys((*old_domains, *domains)):
            claims = self._claims.setdefault((namespace, domain), [])
            before = claims[:2]
            if domain in old_domains:
                claims.remove((old_created, instance))
            if domain in domains:
                insort(claims, (created, instance))
            affected.update(_affected_instances(before, claims, instance))
            if not claims:
                del self._claims[namespace, domain]
        for name in affected:
            self.on_change(namespace, name)

    def contested_domains(self, namespace: str, instance: str) -> tuple[tuple[str, str], ...]:
        """Return each domain that other instances claim too, with the oldest of these other instances."""
        _, domains = self._ingresses.get((namespace, instance), ("", ()))
        contested = ((domain, self._claims[namespace, domain]) for domain in domains)
        return tuple(
            (domain, next(name for _, name in claims if name != instance))
            for domain, claims in contested
            if len(claims) > 1
        )


def _read_ingress(ingress: Manifest) -> tuple[str, tuple[str, ...]]:
    domains = (rule["host"] for rule in ingress.get("spec", {}).get("rules") or () if "host" in rule)
    return ingress["metadata"].get("creationTimestamp", ""), tuple(dict.fromkeys(domains))


def _affected_instances(before: list[Claim], claims: list[Claim], instance: str) -> Iterator[str]:
    """Yield the instances with a different competitor now, given the two oldest claims before the change."""
    if all(name == instance for _, name in (*before, *claims)):
        return
    yield instance
    if before[:1] != claims[:1]:
        yield from (name for _, name in claims)
    elif before != claims[:2]:
        yield claims[0][1]
