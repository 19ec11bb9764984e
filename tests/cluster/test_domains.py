"""Domains in a cluster: the first claim keeps the host in all namespaces, and the suffix rules apply."""

from __future__ import annotations

from hopper.controller.operator import Operator
from hopper.domain.service.domains import parse_domain_policy
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances
from tests.cluster.support.workloads import Workloads

SERVICE = {"ports": [{"containerPort": 80}]}
WEB = {"templateRef": {"name": "web"}}


def claims(*hosts: str) -> dict[str, object]:
    return {**WEB, "overrides": {"domains": [{"domain": host} for host in hosts]}}


def hosts(workloads: Workloads, instance: str) -> list[str]:
    """Return the hosts in the Ingress of an instance."""
    rules = workloads.owned_objects(instance).get("Ingress", {}).get("spec", {}).get("rules", [])
    return [rule["host"] for rule in rules]


async def test_the_later_claim_is_not_in_the_ingress_until_the_host_is_free(
    live: LiveInstances, operator: Operator, workloads: Workloads
) -> None:
    await workloads.create_template(**SERVICE)
    await live.create("first", **claims("shop.example.org"))
    await live.until(lambda: hosts(workloads, "first") == ["shop.example.org"], "first has the host")
    await live.create("later", **claims("shop.example.org", "own.example.org"))
    await live.until_phase("Running", "first", "later")
    await live.until_reason("later", "DomainsAccepted", "DomainTaken")
    assert live.condition("later", "DomainsAccepted")["status"] == "False"
    assert 'shop.example.org is claimed by "first"' in live.condition("later", "DomainsAccepted")["message"]
    assert live.is_ready("later")
    await live.until(lambda: hosts(workloads, "later") == ["own.example.org"], "later has its own host only")
    await live.until_reason("first", "DomainsAccepted", "DomainsAccepted")
    await live.edit("first", overrides=None)
    both = ["own.example.org", "shop.example.org"]
    await live.until(lambda: sorted(hosts(workloads, "later")) == both, "later has both hosts")
    await live.until_reason("later", "DomainsAccepted", "DomainsAccepted")
    assert hosts(workloads, "first") == []


async def test_a_restarted_operator_leaves_the_host_with_its_holder(live: LiveInstances, workloads: Workloads) -> None:
    await workloads.create_template(**SERVICE)
    async with running_operator(live.namespace):
        await live.create("z-first", **claims("shop.example.org"))
        await live.until(lambda: hosts(workloads, "z-first") == ["shop.example.org"], "z-first has the host")
    await live.create("a-later", **claims("shop.example.org"))
    async with running_operator(live.namespace):
        await live.until_reason("a-later", "DomainsAccepted", "DomainTaken")
    assert hosts(workloads, "z-first") == ["shop.example.org"]
    assert not [event for event in workloads.recorders["Ingress"].log if event.name == "hopper-a-later"]


async def test_names_of_the_cluster_and_foreign_suffixes_are_not_rendered(
    live: LiveInstances, workloads: Workloads
) -> None:
    await workloads.create_template(**SERVICE)
    policy = parse_domain_policy([f"{live.namespace}=apps.example.org", "elsewhere=example.org"])
    async with running_operator(live.namespace, domain_policy=policy):
        await live.create("a", **claims("kubernetes.default.svc", "*.org", "shop.example.org", "x.apps.example.org"))
        await live.until_phase("Running", "a")
        await live.until_reason("a", "DomainsAccepted", "DomainNotAllowed")
        await live.until(lambda: hosts(workloads, "a") == ["x.apps.example.org"], "only the allowed host")
