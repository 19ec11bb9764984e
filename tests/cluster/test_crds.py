"""CRDs on a real API server: rules for updates, subresources, field selectors, and the output of kubectl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.support.kubectl_instances import KIND, KubectlInstances, refusal, until

SAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "samples").glob("*.yaml"))

pytestmark = pytest.mark.usefixtures("crds")


class TestUpdate:
    def test_of_the_scope_is_rejected(self, instances: KubectlInstances) -> None:
        instances.apply("a", {"scope": "Project"})
        message = refusal(instances.patch, "a", {"scope": "Event"})
        assert "spec.scope" in message
        assert "delete the instance and create it again" in message

    def test_of_renamed_from_is_rejected(self, instances: KubectlInstances) -> None:
        """A takeover begins when the successor is created, so a later change would have no effect."""
        instances.apply("plain", {"scope": "Project"})
        instances.apply("renamed", {"scope": "Project", "renamedFrom": {"name": "a", "claimPrefix": "hopper-a"}})
        for name, value in (
            ("plain", {"name": "a"}),
            ("renamed", None),
            ("renamed", {"name": "b"}),
            ("renamed", {"claimPrefix": None}),
        ):
            message = refusal(instances.patch, name, {"renamedFrom": value})
            assert "spec.renamedFrom" in message
            assert "restore the value" in message
        instances.patch("renamed", {"description": "new", "desiredState": "Stopped"})

    def test_of_the_parent_is_accepted_within_the_rules_of_the_scope(self, instances: KubectlInstances) -> None:
        instances.apply("a", {"scope": "Orchestration", "parentRef": {"name": "b"}})
        instances.patch("a", {"parentRef": {"name": "c"}})
        assert "set parentRef.name to" in refusal(instances.patch, "a", {"parentRef": None})

    @pytest.mark.parametrize("state", ["Running", "Paused", "Stopped", "Archived", None])
    def test_of_the_desired_state_terminated_is_rejected(self, instances: KubectlInstances, state: str | None) -> None:
        instances.apply("a", {"scope": "Project", "desiredState": "Terminated"})
        message = refusal(instances.patch, "a", {"desiredState": state})
        assert "spec.desiredState" in message
        assert "delete the instance" in message
        assert instances.get("a")["spec"]["desiredState"] == "Terminated"

    @pytest.mark.parametrize("state", ["Running", "Paused", "Stopped", None])
    def test_of_the_desired_state_archived_to_an_active_state_is_rejected(
        self, instances: KubectlInstances, state: str | None
    ) -> None:
        instances.apply("a", {"scope": "Project", "desiredState": "Archived"})
        message = refusal(instances.patch, "a", {"desiredState": state})
        assert "spec.desiredState" in message
        assert "set Terminated" in message

    def test_of_an_archived_instance_to_terminated_and_of_its_protection_is_accepted(
        self, instances: KubectlInstances
    ) -> None:
        instances.apply("a", {"scope": "Project", "desiredState": "Archived"})
        instances.patch("a", {"deletionProtection": True})
        instances.patch("a", {"deletionProtection": False, "reason": "no longer needed"})
        instances.patch("a", {"desiredState": "Terminated", "reason": "really", "ttlSecondsAfterFinished": 600})
        assert instances.get("a")["spec"]["desiredState"] == "Terminated"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("type", "Ephemeral"),
            ("parentRef", None),
            ("restartedAt", "2026-01-01T00:00:00Z"),
            ("displayName", "new"),
            ("description", "new"),
            ("config", {"capabilities": ["new"]}),
            ("config", {"extra": {"a": 2}}),
            ("templateRef", {"name": "new"}),
            ("overrides", {"env": [{"name": "A"}]}),
            ("overrides", {"env": [{"name": "A", "value": "x", "$remove": True}]}),
            ("replicas", 2),
            ("restartPolicy", {"maxRetries": 1}),
            ("heartbeat", {"timeoutSeconds": 5}),
        ],
    )
    def test_of_other_fields_of_an_archived_instance_is_rejected(
        self, instances: KubectlInstances, field: str, value: Any
    ) -> None:
        spec = {"scope": "Project", "desiredState": "Archived", "parentRef": {"name": "global"}}
        spec |= {"config": {"extra": {"a": 1}}, "overrides": {"env": [{"name": "A", "value": "x"}]}}
        instances.apply("a", spec)
        message = refusal(instances.patch, "a", {field: value})
        assert f"spec.{field}" in message
        assert "restore its value" in message

    def test_of_metadata_and_status_of_an_archived_instance_is_accepted(self, instances: KubectlInstances) -> None:
        instances.apply("a", {"scope": "Project", "desiredState": "Archived"})
        instances.kubectl("label", KIND, "a", "team=blue")
        instances.set_status("a", {"phase": "Archived"})
        assert instances.get("a")["status"]["phase"] == "Archived"


class TestKubectl:
    def test_explains_every_field(self, instances: KubectlInstances) -> None:
        until(
            lambda: "DESCRIPTION" in instances.kubectl("explain", "hopperinstance"),
            "the OpenAPI schema of the CRD is published",
        )
        tree = instances.kubectl("explain", "hopperinstance.spec", "--recursive")
        for line in (
            "scope\t<string> -required-",
            "desiredState\t<string>",
            "enum: Running, Paused",
            "env\t<[]Object>",
        ):
            assert line in tree
        for field in ("spec", "spec.overrides.volumes", "spec.config.limits", "status", "status.conditions"):
            assert "<no description>" not in instances.kubectl("explain", f"hi.{field}")
        assert "Place in the hierarchy" in instances.kubectl("explain", "hi.spec.scope")
        assert "Defaults to Running." in " ".join(instances.kubectl("explain", "hi.spec.desiredState").split())
        assert "Standard object's metadata" in instances.kubectl("explain", "hi.metadata")

    def test_finds_instances_by_short_name_and_category(self, instances: KubectlInstances) -> None:
        instances.apply("a", {"scope": "Project"})
        assert "a" in instances.kubectl("get", "hi")
        assert "hopperinstance.hopper.dev/a" in instances.kubectl("get", "hopper", "--output=name")

    def test_shows_defaults(self, instances: KubectlInstances) -> None:
        instances.apply("a", {"scope": "Project", "overrides": {"ports": [{"containerPort": 80}]}})
        instance = instances.get("a")
        assert instance["spec"] == {
            "scope": "Project",
            "desiredState": "Running",
            "replicas": 1,
            "deletionProtection": False,
            "overrides": {"ports": [{"containerPort": 80, "protocol": "TCP"}]},
        }

    def test_says_that_no_operator_has_observed_the_object(self, instances: KubectlInstances) -> None:
        """Tools that judge by kstatus take an object without this for current."""
        instances.apply("a", {"scope": "Project"})
        template = {"apiVersion": "hopper.dev/v1", "kind": "HopperTemplate", "metadata": {"name": "web"}}
        instances.kubectl("apply", "--filename=-", input=json.dumps({**template, "spec": {"image": "web:1"}}))
        stored = json.loads(instances.kubectl("get", "hoppertemplates.hopper.dev", "web", "--output=json"))
        assert stored["status"] == instances.get("a")["status"] == {"observedGeneration": -1}

    def test_prints_the_columns_of_an_instance(self, instances: KubectlInstances) -> None:
        instances.apply("a", {"scope": "Personal", "type": "Ephemeral", "parentRef": {"name": "global"}})
        ready = {"type": "Ready", "status": "False", "reason": "X", "message": "waits for its parent"}
        ready["lastTransitionTime"] = "2026-01-01T00:00:00Z"
        instances.set_status(
            "a", {"phase": "Created", "conditions": [ready], "children": {"total": 2, "ready": 1}, "restarts": 7}
        )
        head, row = instances.kubectl("get", "hi").splitlines()
        assert head.split() == ["NAME", "SCOPE", "PARENT", "DESIRED", "PHASE", "READY", "AGE"]
        assert row.split()[:-1] == ["a", "Personal", "global", "Running", "Created", "False"]
        head, row = instances.kubectl("get", "hi", "--output=wide").splitlines()
        assert head.split()[7:] == ["TYPE", "TEMPLATE", "CHILDREN", "RESTARTS", "MESSAGE"]
        assert row.split()[7:] == ["Ephemeral", "2", "7", "waits", "for", "its", "parent"]

    def test_filters_by_field_selectors(self, instances: KubectlInstances) -> None:
        instances.apply("global", {"scope": "Global"})
        instances.apply("a", {"scope": "Project", "parentRef": {"name": "global"}})
        instances.apply("b", {"scope": "Project"})
        instances.set_status("b", {"phase": "Running"})
        assert instances.names("--field-selector=spec.scope=Project") == {"a", "b"}
        assert instances.names("--field-selector=spec.parentRef.name=global") == {"a"}
        assert instances.names("--field-selector=status.phase=Running,spec.scope=Project") == {"b"}


class TestSubresource:
    def test_status_is_written_separately_from_the_spec(self, instances: KubectlInstances) -> None:
        instances.apply("a", {"scope": "Project"})
        patch = json.dumps({"spec": {"replicas": 5}, "status": {"phase": "Running"}})
        instances.kubectl("patch", KIND, "a", "--type=merge", "--subresource=status", f"--patch={patch}")
        instance = instances.get("a")
        assert (instance["spec"]["replicas"], instance["status"], instance["metadata"]["generation"]) == (
            1,
            {"observedGeneration": -1, "phase": "Running"},
            1,
        )
        instances.kubectl("patch", KIND, "a", "--type=merge", f"--patch={patch.replace('Running', 'Error')}")
        instance = instances.get("a")
        assert (instance["spec"]["replicas"], instance["status"]["phase"], instance["metadata"]["generation"]) == (
            5,
            "Running",
            2,
        )

    def test_status_with_an_unknown_phase_is_rejected(self, instances: KubectlInstances) -> None:
        instances.apply("a", {"scope": "Project"})
        assert "status.phase" in refusal(instances.set_status, "a", {"phase": "ACTIVE"})

    def test_scale_changes_the_replicas(self, instances: KubectlInstances) -> None:
        instances.apply("a", {"scope": "Project"})
        instances.set_status("a", {"replicas": 1, "selector": "hopper.dev/instance=a"})
        instances.kubectl("scale", KIND, "a", "--replicas=3", "--current-replicas=1")
        path = f"/apis/hopper.dev/v1/namespaces/{instances.namespace}/hopperinstances/a/scale"
        scale = json.loads(instances.kubectl("get", "--raw", path))
        assert scale["spec"] == {"replicas": 3}
        assert scale["status"] == {"replicas": 1, "selector": "hopper.dev/instance=a"}

    def test_scale_obeys_the_rules_for_replicas(self, instances: KubectlInstances) -> None:
        instances.apply("global", {"scope": "Global"})
        message = refusal(instances.kubectl, "scale", KIND, "global", "--replicas=2")
        assert "set replicas to 1" in message


class TestSample:
    def test_manifests_can_be_applied_together(self, instances: KubectlInstances) -> None:
        for sample in SAMPLES:
            instances.kubectl("apply", "--filename", str(sample))
        documents = [document for sample in SAMPLES for document in yaml.safe_load_all(sample.read_text())]
        names = {(document["kind"], document["metadata"]["name"]) for document in documents}
        assert instances.names() == {name for kind, name in names if kind == "HopperInstance"}
        templates = instances.kubectl("get", "hoppertemplates", "--output=jsonpath={.items[*].metadata.name}")
        assert set(templates.split()) == {name for kind, name in names if kind == "HopperTemplate"}
        instances.patch("records", {"deletionProtection": False})

    @pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
    def test_file_begins_with_a_comment(self, sample: Path) -> None:
        assert sample.read_text().startswith("# ")
