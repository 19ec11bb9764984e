"""Specs that the API server accepts and the operator rejects, odd but valid values, tampering, and rejected writes.

Conditions name the field and the fix, and other instances are not affected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from hopper.controller.operator import Operator
from tests.cluster.support.in_process_operator import running_operator
from tests.cluster.support.live_instances import LiveInstances, RefusedError, fresh_namespace, manifest

# Seconds within which the conditions show that a spec is invalid.
SOON = 5

POLICIES = "/apis/admissionregistration.k8s.io/v1"


class TestInvalidInstances:
    """Errors that only the operator can find, because they depend on other objects."""

    BROKEN: ClassVar[dict[str, tuple[dict[str, Any], str, str, str]]] = {
        "wrong-scope": (
            manifest("wrong-scope", "Event", "leaf"),
            "WrongParentScope",
            "spec.parentRef.name",
            "needs a Global or Project or Family",
        ),
        "cycle-1": (manifest("cycle-1", "Personal", "cycle-2"), "ParentCycle", "spec.parentRef.name", "change one"),
        "cycle-2": (manifest("cycle-2", "Personal", "cycle-1"), "ParentCycle", "spec.parentRef.name", "change one"),
        "too-many": (
            manifest("too-many", "Event", "full"),
            "TooManyChildren",
            "config.limits.maxChildInstances",
            "choose another spec.parentRef.name",
        ),
        "deep": (manifest("deep", "Orchestration", "bottom"), "TooDeep", "config.limits.maxDepth", "raise the limit"),
        "year-0": (
            manifest("year-0", restartedAt="0000-01-01T00:00:00Z"),
            "SpecInvalid",
            "spec.restartedAt",
            "correct it",
        ),
        "no-such-zone": (
            manifest("no-such-zone", restartedAt="2026-01-01T00:00:00+25:00"),
            "SpecInvalid",
            "spec.restartedAt",
            "correct it",
        ),
    }
    HEALTHY = (
        manifest("home"),
        manifest("leaf", "Orchestration", "home"),
        manifest("full", config={"limits": {"maxChildInstances": 1}}),
        manifest("first", "Event", "full"),
        manifest("top", config={"limits": {"maxDepth": 1}}),
        manifest("bottom", "Event", "top"),
    )

    async def test_show_the_field_and_the_fix_in_a_condition(self, live: LiveInstances, operator: Operator) -> None:
        healthy = [instance["metadata"]["name"] for instance in self.HEALTHY]
        await live.create_from(*self.HEALTHY)
        await live.until_phase("Running", *healthy)
        await live.create_from(*(entry[0] for entry in self.BROKEN.values()))
        for name, (_, reason, field, fix) in self.BROKEN.items():
            stalled = await live.until_reason(name, "Stalled", reason, seconds=SOON)
            assert field in stalled["message"]
            assert fix in stalled["message"]
            assert live.condition(name, "Ready")["status"] == "False"
            assert live.phase(name) == "Created"
        assert all(live.is_ready(name) for name in healthy)

    async def test_do_not_delay_valid_instances(self, live: LiveInstances, operator: Operator) -> None:
        """Thirty invalid instances are edited all the time while others are created, changed and deleted."""
        broken = [manifest(f"broken-{n}", "Event", "leaf") for n in range(30)]
        await live.create_from(manifest("home"), manifest("leaf", "Orchestration", "home"), *broken)
        valid = [f"valid-{n}" for n in range(10)]

        async def edit_broken() -> None:
            while True:
                for instance in broken:
                    await live.edit(instance["metadata"]["name"], displayName=str(len(live.instances.log)))

        editing = asyncio.create_task(edit_broken())
        try:
            await live.create_from(*(manifest(name, "Orchestration", "home") for name in valid))
            await live.until_phase("Running", *valid, seconds=SOON)
            await live.edit("home", desiredState="Paused")
            await live.until_phase("Paused", *valid, seconds=SOON)
            await asyncio.gather(*map(live.delete, valid))
            await live.until_gone(*valid, seconds=SOON)
            assert not editing.done(), "the edits have stopped"
        finally:
            editing.cancel()
            await asyncio.gather(editing, return_exceptions=True)


class TestDateOutOfRange:
    """The API server accepts dates that Python cannot represent."""

    async def test_does_not_prevent_the_operator_from_starting(self, live: LiveInstances) -> None:
        await live.create_from(manifest("year-0", restartedAt="0000-01-01T00:00:00Z"), manifest("a"))
        async with running_operator(live.namespace):
            await live.until_phase("Running", "a")
            await live.until_reason("year-0", "Stalled", "SpecInvalid", seconds=SOON)
            await live.edit("year-0", restartedAt=None)
            await live.until_phase("Running", "year-0")
            assert live.is_ready("year-0")

    async def test_does_not_stop_a_running_instance(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(manifest("a"), manifest("b", "Event", "a"))
        await live.until_phase("Running", "a", "b")
        await live.edit("a", restartedAt="0000-01-01T00:00:00Z")
        stalled = await live.until_reason("a", "Stalled", "SpecInvalid", seconds=SOON)
        assert "year 0 is out of range" in stalled["message"]
        assert live.phase("a") == live.phase("b") == "Running"
        await live.edit("a", desiredState="Stopped")
        await live.until_phase("Stopped", "a", "b")
        await live.edit("a", desiredState="Running", restartedAt="2026-01-01T00:00:00Z")
        await live.until_phase("Running", "a", "b")
        assert live.is_ready("a")

    async def test_does_not_prevent_deletion(self, live: LiveInstances, operator: Operator) -> None:
        await live.create_from(
            manifest("a", restartedAt="0000-01-01T00:00:00Z"),
            manifest("b", "Event", "a", restartedAt="0000-01-01T00:00:00Z"),
        )
        await live.until_reason("a", "Stalled", "SpecInvalid")
        await live.until_reason("b", "Stalled", "SpecInvalid")
        await live.delete("a")
        await live.until_gone("a", "b")


class TestUnusualValues:
    async def test_long_texts_with_any_characters_are_kept(self, live: LiveInstances, operator: Operator) -> None:
        reason = 'Ünïcödé 🦗 \n\t"quoted" {braces} %s \\ \u202e' + "x" * 900
        extra = {"deep": {"a": [{"b": [[[[None, 1e300, -(2**53), True, "\u0000" * 3]]]]}]}, "": {"": ""}}
        name = "a" * 61 + ".b"
        await live.create(name, reason=reason, displayName="🦗" * 255, config={"extra": extra, "capabilities": ["ü"]})
        await live.create("b", "Event", name)
        await live.until_phase("Running", name, "b")
        assert live.status("b")["path"] == f"{name}/b"
        assert live.condition(name, "Ready")["message"] == reason
        await live.until_event(name, "ChildAdded")
        await live.edit(name, desiredState="Terminated")
        await live.until_phase("Terminated", name, "b")

    async def test_values_at_their_limits_are_valid(self, live: LiveInstances, operator: Operator) -> None:
        policy = {"maxRetries": 1000, "backoffSeconds": 86400, "maxBackoffSeconds": 86400}
        limits = {"maxChildInstances": 0, "maxDepth": 0, "maxConcurrentTasks": 1_000_000}
        await live.create("a", restartPolicy=policy, config={"limits": limits}, replicas=0, description="x" * 4096)
        await live.create("b", "Event", "a")
        await live.until_phase("Running", "a")
        assert (await live.until_reason("b", "Stalled", "TooDeep", seconds=SOON))["message"]
        await live.edit("a", desiredState="Stopped", ttlSecondsAfterFinished=315_360_000)
        await live.until_phase("Stopped", "a")
        assert "a" in live

    @pytest.mark.parametrize(
        "moment",
        [
            "2026-01-01t00:00:00z",
            "2026-01-01T00:00:00.123456789Z",
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:59",
            "2024-02-29T12:00:00-00:00",
        ],
    )
    async def test_unusual_dates_restart_an_instance_once(
        self, live: LiveInstances, operator: Operator, moment: str
    ) -> None:
        await live.create("a")
        await live.until_phase("Running", "a")
        await live.edit("a", restartedAt=moment)
        await live.until(lambda: live.status("a")["restarts"] == 1 and live.is_ready("a"), "one restart")
        await live.edit("a", displayName="reconcile again")
        await live.until_phase("Running", "a")
        assert live.status("a")["restarts"] == 1


class TestForeignStatusWrite:
    """The operator restores the status when another client writes it."""

    @pytest.fixture
    async def tampered(self, kubeconfig: str) -> AsyncIterator[LiveInstances]:
        """Namespace with an operator and the instance `a`; no invariants are checked, because tests violate them."""
        async with fresh_namespace() as live, running_operator(live.namespace):
            await live.create("a")
            await live.until_phase("Running", "a")
            yield live

    async def test_of_the_phase_is_reverted(self, tampered: LiveInstances) -> None:
        await tampered.patch("a", {"status": {"phase": "Stopped", "conditions": []}}, "/status")
        await tampered.until_phase("Running", "a")
        assert tampered.is_ready("a")

    async def test_of_a_null_status_is_reverted(self, tampered: LiveInstances) -> None:
        await tampered.patch("a", {"status": None}, "/status")
        await tampered.until(lambda: tampered.is_ready("a"), "the status of a is restored")
        assert tampered.phase("a") == "Running"


class TestRejectedWrite:
    """An admission policy rejects writes of the operator."""

    @pytest.fixture
    async def policy(self, live: LiveInstances) -> AsyncIterator[str]:
        """Name of a policy that rejects ownerReferences of instances whose name starts with `locked`."""
        name = f"{live.namespace}.example.com"
        rule = {
            "apiGroups": ["hopper.dev"],
            "apiVersions": ["v1"],
            "operations": ["UPDATE"],
            "resources": ["hopperinstances"],
        }
        spec = {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [
                {
                    "expression": "!object.metadata.name.startsWith('locked') || "
                    "!has(object.metadata.ownerReferences) && !('test' in object.metadata.?labels.orValue({}))",
                    "message": "no owners here, says the policy",
                }
            ],
        }
        selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": live.namespace}}}
        binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": selector}
        body = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
        kinds = {
            "validatingadmissionpolicies": ("ValidatingAdmissionPolicy", spec),
            "validatingadmissionpolicybindings": ("ValidatingAdmissionPolicyBinding", binding),
        }
        for plural, (kind, content) in kinds.items():
            await live.request("POST", f"{POLICIES}/{plural}", body | {"kind": kind, "spec": content})
        await live.create("locked-probe")
        await self._until_in_force(live)
        yield name
        for plural in kinds:
            await live.request("DELETE", f"{POLICIES}/{plural}/{name}")

    async def _until_in_force(self, live: LiveInstances) -> None:
        probe = {"metadata": {"labels": {"test": "x"}}}
        while True:
            try:
                path = f"{live.path}/locked-probe?dryRun=All"
                await live.request("PATCH", path, probe, "application/merge-patch+json")
            except RefusedError:
                return

    async def test_is_shown_in_a_condition_and_retried(self, live: LiveInstances, policy: str) -> None:
        async with running_operator(live.namespace):
            await live.create_from(manifest("a"), manifest("locked", "Event", "a"), manifest("free", "Event", "a"))
            refused = await live.until_reason("locked", "Stalled", "WriteRefused", seconds=SOON)
            assert "no owners here, says the policy" in refused["message"]
            assert live.phase("locked") == "Created"
            await live.until_phase("Running", "a", "free", "locked-probe")
            await live.request("DELETE", f"{POLICIES}/validatingadmissionpolicybindings/{policy}")
            try:
                await live.until_phase("Running", "locked")
                assert live.condition("locked", "Stalled") == {}
            finally:
                name = {"metadata": {"name": policy}, "apiVersion": "admissionregistration.k8s.io/v1"}
                binding = {"policyName": policy, "validationActions": ["Audit"]}
                body = name | {"kind": "ValidatingAdmissionPolicyBinding", "spec": binding}
                await live.request("POST", f"{POLICIES}/validatingadmissionpolicybindings", body)
