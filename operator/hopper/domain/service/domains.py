"""Rules for the host names of an instance, by its namespace and the configuration of the operator."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hopper.api.conditions import Reason
from hopper.api.resources import NamespacedName

ANY = "*"
_SUFFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# Names that the DNS of the cluster answers.
_CLUSTER_SUFFIXES = ("svc", "pod", "cluster.local", "kubernetes.default")
# Second-level domains under which registries of countries register domains, such as co.uk.
_PUBLIC_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "net", "org"})
_COUNTRY_CODE_LENGTH = 2


@dataclass(frozen=True, slots=True)
class DomainProblem:
    """Domain that is not put into the Ingress of an instance, with the reason and how to fix it."""

    domain: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class DomainPolicy:
    """Allowed suffixes: `shared` for all namespaces, and `own` for single ones.

    Without any suffix, all names are allowed except those that no instance should claim: names inside the cluster,
    names of one label, and wildcards right below a top-level domain.
    """

    shared: tuple[str, ...] = ()
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def problem(self, namespace: str, domain: str) -> DomainProblem | None:
        """Return why an instance in this namespace may not claim a domain; None if it may."""
        error = self._error(namespace, domain)
        return DomainProblem(domain, Reason.DOMAIN_NOT_ALLOWED, f"{domain} {error}") if error else None

    def _error(self, namespace: str, domain: str) -> str | None:
        host = domain.removeprefix("*.")
        if any(_lies_below(host, suffix) for suffix in _CLUSTER_SUFFIXES):
            return "is a name inside the cluster: use the name of the Service there, and another domain here"
        suffixes = (*self.shared, *self.own.get(namespace, ()))
        if any(suffix != ANY and _lies_below(host, suffix) for suffix in suffixes):
            return None
        if (self.shared or self.own) and ANY not in suffixes:
            allowed = ", ".join(suffixes) or "none"
            return f"is not below a suffix that the operator allows for this namespace ({allowed}): use one of these"
        if domain.startswith("*.") and _is_public_suffix(host):
            return "is a wildcard for a whole top-level domain: put your own domain after the *"
        if "." not in host:
            return "has only one label: use a full host name such as shop.example.org"
        return None


NO_SUFFIXES = DomainPolicy()


def parse_domain_policy(entries: Iterable[str]) -> DomainPolicy:
    """Return the policy for entries such as `example.org` and `team-a=a.example.org`. Raises `ValueError`."""
    shared: list[str] = []
    own: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        namespace, equals, suffix = entry.rpartition("=")
        suffix = suffix if suffix == ANY else suffix.removeprefix("*").removeprefix(".")
        if (suffix != ANY and not _SUFFIX.fullmatch(suffix)) or (equals and not _NAMESPACE.fullmatch(namespace)):
            raise ValueError(
                f"{entry!r} is not a domain suffix: use one such as example.org for all namespaces, "
                "or team-a=a.example.org for one"
            )
        if equals:
            own[namespace] = (*own.get(namespace, ()), suffix)
        else:
            shared.append(suffix)
    return DomainPolicy(tuple(shared), own)


def taken_domain(domain: str, namespace: str, holder: NamespacedName) -> DomainProblem:
    """Return the problem of a domain that another instance claims. Other namespaces are not named to this one."""
    other = f'"{holder[1]}"' if holder[0] == namespace else "an instance in another namespace"
    message = f"{domain} is claimed by {other} since an earlier time: use another domain, or have it removed there"
    return DomainProblem(domain, Reason.DOMAIN_TAKEN, message)


def _lies_below(host: str, suffix: str) -> bool:
    return host == suffix or host.endswith(f".{suffix}")


def _is_public_suffix(host: str) -> bool:
    """Whether a host is a top-level domain, or a usual second-level domain of a country."""
    first, _, rest = host.partition(".")
    return not rest or (first in _PUBLIC_SECOND_LEVEL and "." not in rest and len(rest) == _COUNTRY_CODE_LENGTH)
