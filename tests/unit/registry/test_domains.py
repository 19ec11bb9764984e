"""Claims on domains: who gets a host, and which instances are reconciled again."""

from __future__ import annotations

import random

import pytest

from hopper.registry.domains import DomainIndex

Owner = tuple[str, str]
A, B, C = ("a", "web"), ("b", "web"), ("c", "web")


class RecordedDomains:
    """A domain index that records which instances it reports as changed."""

    def __init__(self) -> None:
        self.index = DomainIndex()
        self._changed: list[Owner] = []
        self.index.on_change = lambda namespace, name: self._changed.append((namespace, name))

    def reserve(self, owner: Owner, *hosts: str) -> dict[str, Owner]:
        return self.index.reserve(*owner, hosts)

    def hold(self, owner: Owner, *hosts: str, since: int = 0) -> None:
        """Put an Ingress with these hosts into the index; without hosts, remove it."""
        created = f"2026-03-01T12:00:{since:02}Z"
        rules = [{"host": host} for host in hosts]
        ingress = {"metadata": {"creationTimestamp": created}, "spec": {"rules": rules}}
        self.index.put(*owner, ingress if hosts else None)

    def changed(self) -> set[Owner]:
        changed = set(self._changed)
        self._changed.clear()
        return changed


@pytest.fixture
def domains() -> RecordedDomains:
    return RecordedDomains()


def test_the_first_claim_keeps_the_host_in_all_namespaces(domains: RecordedDomains) -> None:
    assert domains.reserve(A, "x.example.com") == {}
    assert domains.reserve(B, "x.example.com", "y.example.com") == {"x.example.com": A}
    assert domains.reserve(("a", "other"), "x.example.com") == {"x.example.com": A}
    assert domains.reserve(A, "x.example.com") == {}
    assert domains.reserve(C, "y.example.com") == {"y.example.com": B}


def test_a_released_host_wakes_those_who_wait_for_it(domains: RecordedDomains) -> None:
    domains.reserve(A, "x.example.com")
    domains.reserve(B, "x.example.com")
    domains.reserve(C, "z.example.com")
    assert domains.changed() == set()
    domains.reserve(A)
    assert domains.changed() == {B}
    assert domains.reserve(B, "x.example.com") == {}
    assert domains.reserve(A, "x.example.com") == {"x.example.com": B}


def test_an_ingress_holds_the_host_until_it_is_rewritten(domains: RecordedDomains) -> None:
    domains.hold(A, "x.example.com")
    domains.reserve(A)
    assert domains.reserve(B, "x.example.com") == {"x.example.com": A}
    domains.hold(A)
    assert domains.changed() == {B}
    assert domains.reserve(B, "x.example.com") == {}


def test_ingresses_say_who_was_first_after_a_restart(domains: RecordedDomains) -> None:
    domains.hold(B, "x.example.com", since=2)
    domains.hold(A, "x.example.com", since=1)
    assert domains.changed() == {B}
    assert domains.reserve(B, "x.example.com") == {"x.example.com": A}
    assert domains.reserve(A, "x.example.com") == {}
    domains.hold(C, "x.example.com", since=3)
    assert domains.changed() == {C}


def test_nobody_gets_the_host_of_a_renamed_instance(domains: RecordedDomains) -> None:
    domains.hold(A, "x.example.com")
    domains.reserve(B, "x.example.com")
    successor = ("a", "renamed")
    assert domains.index.reserve(*successor, ["x.example.com"], predecessor="web") == {}
    assert domains.reserve(A, "x.example.com") == {}
    domains.hold(A)
    domains.reserve(A)
    assert domains.reserve(B, "x.example.com") == {"x.example.com": successor}
    assert domains.index.reserve(*successor, ["x.example.com"]) == {}


def test_a_lost_ingress_loses_no_claim(domains: RecordedDomains) -> None:
    domains.reserve(A, "x.example.com")
    domains.hold(A, "x.example.com")
    domains.hold(A)
    assert domains.reserve(B, "x.example.com") == {"x.example.com": A}


@pytest.mark.parametrize(
    ("held", "wanted", "conflicts"),
    [
        ("shop.example.com", "*.example.com", True),
        ("*.example.com", "shop.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "*.b.example.com", True),
        ("*.b.example.com", "*.example.com", True),
        ("*.example.com", "example.com", False),
        ("example.com", "*.example.com", False),
        ("*.example.com", "shop.example-x.com", False),
        ("shop-example.com", "*.example.com", False),
        ("*.example.com", "badexample.com", False),
    ],
)
def test_a_wildcard_claims_what_it_covers(domains: RecordedDomains, held: str, wanted: str, conflicts: bool) -> None:
    domains.reserve(A, held)
    assert domains.reserve(B, wanted) == ({wanted: A} if conflicts else {})
    domains.reserve(B)
    assert domains.reserve(("a", "other"), wanted) == {}


def test_an_instance_may_have_a_wildcard_and_a_host_below_it(domains: RecordedDomains) -> None:
    assert domains.reserve(A, "*.example.com", "x.example.com") == {}
    domains.hold(A, "*.example.com", "x.example.com")
    assert domains.reserve(A, "*.example.com", "x.example.com") == {}


def test_released_claims_leave_nothing_in_memory(domains: RecordedDomains) -> None:
    chance = random.Random(11)
    hosts = ["x.example.com", "*.example.com", "*.com", "y.x.example.com", "z.example.org"]
    owners = [A, B, C, ("a", "other")]
    for _ in range(2000):
        owner, some = chance.choice(owners), chance.sample(hosts, chance.randrange(len(hosts)))
        if chance.random() < 0.5:
            domains.reserve(owner, *some)
        else:
            domains.hold(owner, *some, since=chance.randrange(60))
    assert len(domains.index) > 0
    for owner in owners:
        domains.reserve(owner)
        domains.hold(owner)
    assert len(domains.index) == 0


def test_many_instances_that_want_one_host_cost_little(domains: RecordedDomains) -> None:
    domains.reserve(A, "x.example.com")
    for number in range(3000):
        assert domains.reserve(("b", f"web-{number}"), "x.example.com")
    domains.reserve(A)
    assert len(domains.changed()) == 3000


def test_an_ingress_without_hosts_claims_nothing(domains: RecordedDomains) -> None:
    domains.index.put("default", "a", {"metadata": {}, "spec": {"defaultBackend": {}}})
    domains.index.put("default", "b", {"metadata": {}, "spec": {"rules": [{"http": {}}]}})
    assert len(domains.index) == 0
