"""Who claims which domain, as the Ingresses of the instances say. Whoever came first stays first.

So a newcomer is news to nobody but itself and the one that came first, however many claim the same domain.
"""

from bisect import insort
from collections.abc import Callable, Collection, Iterator

from hopper.api.resources import Manifest, NamespacedName

Claim = tuple[str, str]  # since when, and the name of the instance


class DomainIndex:
    """Claims by namespace and domain. `on_news` hears namespace and name of those whose rivals are others now."""

    def __init__(self) -> None:
        self.on_news: Callable[[str, str], None] = lambda namespace, name: None
        self._claims: dict[NamespacedName, list[Claim]] = {}  # namespace and domain → the oldest claim first
        self._mine: dict[NamespacedName, tuple[str, tuple[str, ...]]] = {}  # namespace and instance → since, domains

    def put(self, namespace: str, instance: str, ingress: Manifest | None) -> None:
        """Take in the Ingress of an instance, None where it has none any more."""
        since, hosts = self._mine.get((namespace, instance), ("", ()))
        new: tuple[str, tuple[str, ...]] = _claims(ingress) if ingress else ("", ())
        if new == (since, hosts):
            return
        self._mine[namespace, instance] = new
        if not new[1]:
            del self._mine[namespace, instance]
        told: set[str] = set()
        for host in dict.fromkeys((*hosts, *new[1])):
            claims = self._claims.setdefault((namespace, host), [])
            before = claims[:2]
            if host in hosts:
                claims.remove((since, instance))
            if host in new[1]:
                insort(claims, (new[0], instance))
            told.update(_concerned(before, claims, instance))
            if not claims:
                del self._claims[namespace, host]
        for name in told:
            self.on_news(namespace, name)

    def rivals(self, namespace: str, instance: str) -> tuple[tuple[str, str], ...]:
        """Return the domains that others claim as well, each with the one that has done so for longest."""
        _, hosts = self._mine.get((namespace, instance), ("", ()))
        others = ((host, self._claims[namespace, host]) for host in hosts)
        return tuple((host, _other(claims, instance)) for host, claims in others if len(claims) > 1)


def _claims(ingress: Manifest) -> tuple[str, tuple[str, ...]]:
    hosts = (rule["host"] for rule in ingress.get("spec", {}).get("rules") or () if "host" in rule)
    return ingress["metadata"].get("creationTimestamp", ""), tuple(dict.fromkeys(hosts))


def _other(claims: Collection[Claim], instance: str) -> str:
    return next(name for _, name in claims if name != instance)


def _concerned(before: list[Claim], now: list[Claim], instance: str) -> Iterator[str]:
    """Yield who is to say something else: all look at the first one, and the first one at the second."""
    if all(name == instance for _, name in (*before, *now)):
        return
    yield instance
    if before[:1] != now[:1]:
        yield from (name for _, name in now)
    elif before != now[:2]:
        yield now[0][1]
