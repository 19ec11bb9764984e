"""Domains that the configuration of the operator allows for a namespace."""

from __future__ import annotations

import pytest

from hopper.domain.service.domains import DomainPolicy, parse_domain_policy, taken_domain


def message(policy: DomainPolicy, domain: str, namespace: str = "team-a") -> str | None:
    problem = policy.problem(namespace, domain)
    return problem.message if problem else None


@pytest.mark.parametrize(
    "domain",
    [
        *("kubernetes.default.svc", "kubernetes.default", "api.prod.svc", "web.shop.svc.cluster.local", "*.svc"),
        *("*.cluster.local", "10-0-0-1.shop.pod", "localhost", "intranet", "*.org", "*.dev", "*.co.uk", "*.com.au"),
    ],
)
def test_names_that_nobody_may_claim_by_default(domain: str) -> None:
    assert message(DomainPolicy(), domain)


@pytest.mark.parametrize(
    "domain",
    ["shop.example.org", "*.example.org", "example.org", "org.uk", "svc.example.org", "*.localhost.example", "co.uk"],
)
def test_other_names_are_allowed_by_default(domain: str) -> None:
    assert message(DomainPolicy(), domain) is None


def test_suffixes_limit_each_namespace() -> None:
    policy = parse_domain_policy(["apps.example.org", "team-a=a.example.org", "team-a=*.a.example.com", "team-x=*"])
    for domain in ("web.apps.example.org", "apps.example.org", "*.a.example.org", "x.a.example.com"):
        assert message(policy, domain) is None
    for domain in ("example.org", "xa.example.org", "*.example.org", "x.b.example.org", "kubernetes.default.svc"):
        assert message(policy, domain)
    assert message(policy, "web.a.example.org", "team-b") == (
        "web.a.example.org is not below a suffix that the operator allows for this namespace (apps.example.org): "
        "use one of these"
    )
    assert message(policy, "web.a.example.org", "team-x") is None
    assert message(policy, "*.org", "team-x")


def test_without_a_shared_suffix_other_namespaces_have_none() -> None:
    policy = parse_domain_policy(["team-a=example.org"])
    assert message(policy, "shop.example.com", "team-b")


def test_one_label_is_allowed_as_a_suffix() -> None:
    assert message(parse_domain_policy(["localhost"]), "localhost") is None


@pytest.mark.parametrize(
    "entry", ["", "=", "a=", "=example.org", "team a=x.org", "team-a=Example.org", "a=b=c", "x..y"]
)
def test_a_malformed_suffix_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a domain suffix: use one such as"):
        parse_domain_policy([entry])


def test_another_namespace_is_not_named() -> None:
    assert '"web"' in taken_domain("x.org", "team-a", ("team-a", "web")).message
    assert "team-b" not in taken_domain("x.org", "team-a", ("team-b", "web")).message
