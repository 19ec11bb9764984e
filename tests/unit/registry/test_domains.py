"""Who hears of whom when several instances claim one domain."""

from __future__ import annotations

import pytest

from hopper.registry.domains import DomainIndex


class Heard(DomainIndex):
    """Collects who is to be looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.on_news = lambda namespace, name: self.told.append(name)

    def claim(self, name: str, *hosts: str, since: int = 0, namespace: str = "default") -> set[str]:
        self.told.clear()
        moment = f"2026-03-01T12:00:{since:02}Z"
        rules = [{"host": host} for host in hosts]
        self.put(namespace, name, {"metadata": {"creationTimestamp": moment}, "spec": {"rules": rules}})
        return set(self.told)

    def release(self, name: str) -> set[str]:
        self.told.clear()
        self.put("default", name, None)
        return set(self.told)

    def rivals_of(self, name: str) -> dict[str, str]:
        return dict(self.rivals("default", name))


@pytest.fixture
def domains() -> Heard:
    made = Heard()
    assert made.claim("b", "x.example.com", since=1) == set()
    return made


def test_both_hear_of_each_other_until_one_lets_go(domains: Heard) -> None:
    assert domains.claim("a", "x.example.com", "y.example.com", since=2) == {"a", "b"}
    assert domains.rivals_of("a") == {"x.example.com": "b"}
    assert domains.rivals_of("b") == {"x.example.com": "a"}
    assert domains.claim("a", "y.example.com", since=2) == {"a", "b"}
    assert domains.rivals_of("a") == domains.rivals_of("b") == {}
    domains.claim("a", "x.example.com", since=2)
    assert domains.release("b") == {"a", "b"}
    assert domains.rivals_of("a") == {}


def test_a_third_one_is_news_to_itself_alone(domains: Heard) -> None:
    domains.claim("a", "x.example.com", since=2)
    assert domains.claim("c", "x.example.com", since=3) == {"c"}
    assert domains.rivals_of("c") == {"x.example.com": "b"}
    assert domains.rivals_of("b") == {"x.example.com": "a"}
    assert domains.release("c") == {"c"}


def test_everybody_hears_when_the_first_one_lets_go(domains: Heard) -> None:
    for number, name in enumerate("acd", 2):
        domains.claim(name, "x.example.com", since=number)
    assert domains.release("b") == {"a", "b", "c", "d"}
    assert [domains.rivals_of(name)["x.example.com"] for name in "acd"] == ["c", "a", "a"]


def test_the_same_again_is_no_news(domains: Heard) -> None:
    domains.claim("a", "x.example.com", since=2)
    assert domains.claim("a", "x.example.com", since=2) == set()


def test_other_namespaces_do_not_matter(domains: Heard) -> None:
    assert domains.claim("a", "x.example.com", namespace="other") == set()
    assert domains.rivals_of("b") == {}


def test_nothing_is_left_behind(domains: Heard) -> None:
    domains.claim("a", "x.example.com", "y.example.com", since=2)
    domains.release("a")
    domains.release("b")
    assert not domains._claims
    assert not domains._mine


def test_an_ingress_without_rules_claims_nothing(domains: Heard) -> None:
    domains.put("default", "a", {"metadata": {}, "spec": {"defaultBackend": {}}})
    domains.put("default", "b", {"metadata": {}, "spec": {"rules": [{"http": {}}]}})
    assert domains.rivals_of("b") == {}
