"""Domains that several instances claim: what is reported, and about which instances it changes."""

from __future__ import annotations

import pytest

from hopper.registry.domains import DomainIndex


class RecordedDomains:
    """A domain index that records which instances it reports as changed."""

    def __init__(self) -> None:
        self.index = DomainIndex()
        self._changed: list[str] = []
        self.index.on_change = lambda namespace, name: self._changed.append(name)

    def claim(self, name: str, *hosts: str, since: int = 0, namespace: str = "default") -> set[str]:
        """Put an Ingress into the index; return the instances that are reported as changed."""
        self._changed.clear()
        created = f"2026-03-01T12:00:{since:02}Z"
        rules = [{"host": host} for host in hosts]
        self.index.put(namespace, name, {"metadata": {"creationTimestamp": created}, "spec": {"rules": rules}})
        return set(self._changed)

    def release(self, name: str) -> set[str]:
        """Remove an Ingress from the index; return the instances that are reported as changed."""
        self._changed.clear()
        self.index.put("default", name, None)
        return set(self._changed)

    def contested(self, name: str) -> dict[str, str]:
        return dict(self.index.contested_domains("default", name))


@pytest.fixture
def domains() -> RecordedDomains:
    """Return an index in which instance b claims x.example.com."""
    domains = RecordedDomains()
    assert domains.claim("b", "x.example.com", since=1) == set()
    return domains


def test_two_instances_name_each_other_until_one_releases_the_domain(domains: RecordedDomains) -> None:
    assert domains.claim("a", "x.example.com", "y.example.com", since=2) == {"a", "b"}
    assert domains.contested("a") == {"x.example.com": "b"}
    assert domains.contested("b") == {"x.example.com": "a"}
    assert domains.claim("a", "y.example.com", since=2) == {"a", "b"}
    assert domains.contested("a") == domains.contested("b") == {}
    domains.claim("a", "x.example.com", since=2)
    assert domains.release("b") == {"a", "b"}
    assert domains.contested("a") == {}


def test_a_third_claim_changes_only_the_third_instance(domains: RecordedDomains) -> None:
    domains.claim("a", "x.example.com", since=2)
    assert domains.claim("c", "x.example.com", since=3) == {"c"}
    assert domains.contested("c") == {"x.example.com": "b"}
    assert domains.contested("b") == {"x.example.com": "a"}
    assert domains.release("c") == {"c"}


def test_the_end_of_the_oldest_claim_changes_all(domains: RecordedDomains) -> None:
    for number, name in enumerate("acd", 2):
        domains.claim(name, "x.example.com", since=number)
    assert domains.release("b") == {"a", "b", "c", "d"}
    assert [domains.contested(name)["x.example.com"] for name in "acd"] == ["c", "a", "a"]


def test_the_same_claim_again_changes_nothing(domains: RecordedDomains) -> None:
    domains.claim("a", "x.example.com", since=2)
    assert domains.claim("a", "x.example.com", since=2) == set()


def test_claims_of_other_namespaces_do_not_compete(domains: RecordedDomains) -> None:
    assert domains.claim("a", "x.example.com", namespace="other") == set()
    assert domains.contested("b") == {}


def test_released_claims_leave_nothing_in_memory(domains: RecordedDomains) -> None:
    domains.claim("a", "x.example.com", "y.example.com", since=2)
    assert len(domains.index) > 0
    domains.release("a")
    domains.release("b")
    assert len(domains.index) == 0


def test_an_ingress_without_hosts_claims_nothing(domains: RecordedDomains) -> None:
    domains.index.put("default", "a", {"metadata": {}, "spec": {"defaultBackend": {}}})
    domains.index.put("default", "b", {"metadata": {}, "spec": {"rules": [{"http": {}}]}})
    assert domains.contested("b") == {}
