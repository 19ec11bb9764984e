"""The admission policies of the chart: what authors need permission for, and what Hopper's own accounts may not do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hopper.api.resources import Manifest
from hopper.local import Cluster
from hopper.local.errors import KubectlError
from tests.cluster.support.kubectl_instances import KIND, KubectlInstances, refusal, until
from tests.packaging.helm import render
from tests.unit.domain.service.samples import FULL, blueprint, rendered

NAMESPACE = "hopper-policy-test"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:hopper-operator"
GATEWAY = f"system:serviceaccount:{NAMESPACE}:hopper-gateway"
WEB = {"scope": "Orchestration", "parentRef": {"name": "shop"}, "templateRef": {"name": "web"}}
REFERENCE = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "foreign", "key": "token"}}}
TOKEN = {"serviceAccountToken": {"path": "token"}}
FILE = {"path": "/etc/x", "contentFrom": {"secretKeyRef": {"name": "foreign", "key": "token"}}}


@pytest.fixture(scope="module")
def policies(cluster: Cluster, crds: None) -> Iterator[None]:
    """The policies of a release, in force."""
    objects = [manifest for manifest in render(namespace=NAMESPACE) if manifest["kind"].startswith("ValidatingAdm")]
    objects = [manifest for manifest in objects if manifest["metadata"]["name"] != "deletion-protection.hopper.dev"]
    text = yaml.safe_dump_all(objects)
    cluster.kubectl("apply", "--server-side", "--filename=-", input=text)
    yield
    cluster.kubectl("delete", "--wait=false", "--filename=-", input=text)


class Users:
    """Clients with some permissions in one namespace."""

    def __init__(self, instances: KubectlInstances) -> None:
        self.instances = instances

    def grant(self, user: str, *rules: tuple[str, str, str]) -> None:
        """Give a user verbs on resources, each as (group, resource, verbs)."""
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": user.replace(":", "-")},
            "rules": [
                {"apiGroups": [group], "resources": [resource], "verbs": verbs.split()}
                for group, resource, verbs in rules
            ],
        }
        binding = {
            **role,
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
            "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
        }
        binding.pop("rules")
        self.instances.kubectl("apply", "--filename=-", input=yaml.safe_dump_all([role, binding]))

    def apply(self, user: str, *manifests: Manifest) -> str:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        return self.instances.kubectl("apply", f"--as={user}", "--filename=-", input=text)

    def patch(self, user: str, name: str, spec: dict[str, Any]) -> str:
        patch = json.dumps({"spec": spec})
        return self.instances.kubectl("patch", KIND, name, f"--as={user}", "--type=merge", f"--patch={patch}")


@pytest.fixture
def users(policies: None, instances: KubectlInstances) -> Users:
    """Authors in a fresh namespace: `novice` may write instances and templates only, `author` Deployments as well."""
    users = Users(instances)
    own = [("hopper.dev", "hopperinstances", "get create patch"), ("hopper.dev", "hoppertemplates", "get create patch")]
    users.grant("novice", *own)
    users.grant("author", *own, ("apps", "deployments", "create"))
    users.grant("keeper", *own, ("apps", "deployments", "create"), ("", "secrets", "get"))
    users.grant("remover", ("hopper.dev", "hopperinstances", "get create patch delete"))
    until(lambda: _is_refused(users), "the policies are in force")
    return users


def _is_refused(users: Users) -> bool:
    try:
        manifest = template()
        users.instances.kubectl("create", "--as=novice", "--dry-run=server", "--filename=-", input=json.dumps(manifest))
    except KubectlError as error:
        return "decides which pods run" in error.stderr
    return False


def instance(name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> Manifest:
    body = {"scope": "Project"} if spec is None else spec
    return {
        "apiVersion": "hopper.dev/v1",
        "kind": "HopperInstance",
        "metadata": {"name": name, **metadata},
        "spec": body,
    }


def template(name: str = "web", **spec: Any) -> Manifest:
    return {
        "apiVersion": "hopper.dev/v1",
        "kind": "HopperTemplate",
        "metadata": {"name": name},
        "spec": {"image": "web:1", **spec},
    }


class TestWorkloadAuthors:
    def test_a_logical_instance_needs_no_further_permission(self, users: Users) -> None:
        users.apply("novice", instance("shop"))
        users.patch("novice", "shop", {"desiredState": "Paused"})

    def test_a_template_needs_permission_to_create_deployments(self, users: Users) -> None:
        message = refusal(users.apply, "novice", template())
        assert "permission to create deployments in namespace" in message
        assert "novice does not have" in message
        users.apply("author", template())
        assert "create deployments" in refusal(users.apply, "novice", template(image="evil:1"))

    def test_an_instance_with_a_template_needs_it_too(self, users: Users) -> None:
        assert "create deployments" in refusal(users.apply, "novice", instance("shop-web", WEB))
        users.apply("author", instance("shop-web", WEB))
        for change in ({"overrides": {"env": [{"name": "A", "value": "b"}]}}, {"config": {"extra": {"a": 1}}}):
            assert "create deployments" in refusal(users.patch, "novice", "shop-web", change)
        users.patch("novice", "shop-web", {"desiredState": "Stopped", "reason": "maintenance"})

    def test_a_logical_instance_cannot_get_a_template_without_it(self, users: Users) -> None:
        users.apply("novice", instance("shop"))
        assert "create deployments" in refusal(users.patch, "novice", "shop", {"templateRef": {"name": "web"}})


class TestSecretReferences:
    @pytest.mark.parametrize("change", [{"env": [REFERENCE]}, {"configFiles": [FILE]}], ids=str)
    def test_a_new_reference_needs_permission_to_get_secrets(self, users: Users, change: dict[str, Any]) -> None:
        message = refusal(users.apply, "author", template(**change))
        assert "refers to the Secret foreign" in message
        assert "permission to get secrets in namespace" in message
        assert "get secrets" in refusal(users.apply, "author", instance("shop-web", {**WEB, "overrides": change}))
        users.apply("keeper", template(**change), instance("shop-web", {**WEB, "overrides": change}))

    def test_permission_for_the_one_secret_is_enough(self, users: Users) -> None:
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "one-secret"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["foreign"], "verbs": ["get"]}],
        }
        users.instances.kubectl("apply", "--filename=-", input=json.dumps(role))
        users.instances.kubectl("create", "rolebinding", "one-secret", "--role=one-secret", "--user=author")
        until(lambda: _may_get(users, "author", "foreign"), "the role is known")
        users.apply("author", template(env=[REFERENCE]))
        other = {"name": "OTHER", "valueFrom": {"secretKeyRef": {"name": "another", "key": "a"}}}
        assert "refers to the Secret" in refusal(users.apply, "author", template(env=[REFERENCE, other]))

    def test_references_of_others_do_not_block_an_edit(self, users: Users) -> None:
        users.apply("keeper", template(env=[REFERENCE]))
        users.apply("author", template(env=[REFERENCE], image="web:2"))


def _may_get(users: Users, user: str, secret: str) -> bool:
    question = ("--namespace", users.instances.namespace, "auth", "can-i", "get", f"secrets/{secret}", f"--as={user}")
    return "yes" in users.instances.cluster.kubectl(*question, check=False)


class TestRenames:
    def test_a_rename_needs_permission_to_delete_the_predecessor(self, users: Users) -> None:
        users.apply("novice", instance("victim"))
        thief = instance("thief", {"scope": "Project", "renamedFrom": {"name": "victim"}})
        message = refusal(users.apply, "novice", thief)
        assert "replacing victim needs permission to delete hopperinstances in namespace" in message
        users.apply("remover", thief)


class TestTerminations:
    def test_terminating_needs_permission_to_delete(self, users: Users) -> None:
        users.apply("novice", instance("shop"))
        message = refusal(users.patch, "novice", "shop", {"desiredState": "Terminated"})
        assert "terminating shop needs permission to delete hopperinstances in namespace" in message
        users.patch("remover", "shop", {"desiredState": "Terminated"})
        users.patch("novice", "shop", {"reason": "it is over"})

    @pytest.mark.parametrize("seconds", [0, 3600])
    def test_a_time_to_live_needs_permission_to_delete(self, users: Users, seconds: int) -> None:
        """The operator deletes the instance at the end of it."""
        users.apply("novice", instance("shop", {"scope": "Project", "ttlSecondsAfterFinished": 7200}))
        message = refusal(
            users.patch, "novice", "shop", {"desiredState": "Stopped", "ttlSecondsAfterFinished": seconds}
        )
        assert "spec.ttlSecondsAfterFinished: a time to live for shop needs permission to delete" in message
        users.patch("remover", "shop", {"ttlSecondsAfterFinished": seconds})
        users.patch("novice", "shop", {"ttlSecondsAfterFinished": None, "reason": "it stays"})

    def test_a_terminated_record_can_be_restored(self, users: Users) -> None:
        users.apply("novice", instance("shop", {"scope": "Project", "desiredState": "Terminated"}))


def test_an_inline_secret_is_admitted_with_a_warning(users: Users) -> None:
    manifest = json.dumps(template(env=[{"name": "TOKEN", "value": "canary", "secret": True}]))
    arguments = ("create", "--warnings-as-errors", "--filename=-")
    with pytest.raises(KubectlError) as warned:
        users.instances.kubectl(*arguments, input=manifest)
    assert "env[TOKEN]: everyone who can read this HopperTemplate can read its secret value" in warned.value.stderr
    assert "canary" not in warned.value.stderr
    assert "web" in users.instances.kubectl("get", "hoppertemplates", "--output=name")


class TestOperatorWrites:
    @pytest.fixture(autouse=True)
    def everything_is_permitted(self, cluster: Cluster, users: Users) -> Iterator[None]:
        """So that only the policy stands in the way."""
        name = "policy-test-operator"
        cluster.kubectl("create", "clusterrolebinding", name, "--clusterrole=cluster-admin", f"--user={OPERATOR}")
        yield
        cluster.kubectl("delete", "clusterrolebinding", name)

    def owned(self, users: Users, kind: str = "ConfigMap", **body: Any) -> Manifest:
        users.apply("novice", instance("shop"))
        owner = users.instances.get("shop")
        reference = {
            "apiVersion": "hopper.dev/v1",
            "kind": "HopperInstance",
            "name": "shop",
            "uid": owner["metadata"]["uid"],
            "controller": True,
        }
        labels = {"app.kubernetes.io/managed-by": "hopper"}
        return {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": "hopper-shop", "labels": labels, "ownerReferences": [reference]},
            **body,
        }

    def test_the_operator_writes_and_deletes_owned_objects(self, users: Users) -> None:
        users.apply(OPERATOR, self.owned(users), self.owned(users, "Secret", stringData={"a": "b"}))
        users.instances.kubectl("delete", f"--as={OPERATOR}", "configmap,secret", "hopper-shop")

    @pytest.mark.parametrize("part", ["labels", "ownerReferences"])
    def test_an_object_without_owner_or_label_is_refused(self, users: Users, part: str) -> None:
        manifest = self.owned(users)
        del manifest["metadata"][part]
        assert "objects with a HopperInstance as owner" in refusal(users.apply, OPERATOR, manifest)

    def test_a_token_secret_is_refused(self, users: Users) -> None:
        manifest = self.owned(users, "Secret", type="kubernetes.io/service-account-token")
        manifest["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "default"}
        assert "Secrets of type Opaque" in refusal(users.apply, OPERATOR, manifest)

    def test_a_cluster_role_binding_is_refused(self, users: Users) -> None:
        arguments = ("create", "clusterrolebinding", "stolen", "--clusterrole=cluster-admin", "--user=thief")
        assert "objects with a HopperInstance" in refusal(users.instances.kubectl, *arguments, f"--as={OPERATOR}")

    def test_foreign_objects_are_not_taken_over(self, users: Users) -> None:
        """Neither with an owner nor with a label that the operator adds."""
        users.instances.kubectl("create", "configmap", "hopper-shop")
        message = refusal(users.apply, OPERATOR, self.owned(users, data={"a": "b"}))
        assert "objects that have had a HopperInstance as owner" in message

    def deployment(self, users: Users, **pod: Any) -> Manifest:
        """Return the Deployment of a service with everything, with additions to the spec of its pods."""
        manifest = rendered(blueprint(FULL))["Deployment"]
        manifest["metadata"] = self.owned(users)["metadata"]
        manifest["spec"]["template"]["spec"] |= pod
        return manifest

    def test_the_operator_writes_rendered_pods(self, users: Users) -> None:
        manifest = self.deployment(users)
        users.apply(OPERATOR, manifest)
        manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
        users.apply(OPERATOR, manifest)

    @pytest.mark.parametrize(
        ("pod", "message"),
        [
            ({"serviceAccountName": "cluster-admin"}, "without the token of a service account"),
            ({"automountServiceAccountToken": True}, "without the token of a service account"),
            ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, "may only write pods with volumes of"),
            (
                {"volumes": [{"name": "token", "projected": {"sources": [TOKEN]}}]},
                "may only write pods with volumes of",
            ),
            ({"volumes": [{"name": "csi", "csi": {"driver": "x"}}]}, "may only write pods with volumes of"),
            ({"hostPID": True}, "may not write privileged pods"),
            ({"hostIPC": True}, "may not write privileged pods"),
            (
                {"initContainers": [{"name": "a", "image": "a", "securityContext": {"privileged": True}}]},
                "may not write privileged pods",
            ),
        ],
        ids=str,
    )
    def test_pods_with_more_rights_are_refused(self, users: Users, pod: dict[str, Any], message: str) -> None:
        manifest = self.deployment(users, **pod)
        if "volumes" in pod:
            manifest["spec"]["template"]["spec"]["containers"][0].pop("volumeMounts")
        assert message in refusal(users.apply, OPERATOR, manifest)

    def test_what_others_added_to_a_pod_does_not_block_the_operator(self, users: Users) -> None:
        manifest = self.deployment(users)
        users.apply(OPERATOR, manifest)
        added = {"serviceAccountName": "other", "hostPID": True, "volumes": [{"name": "h", "hostPath": {"path": "/x"}}]}
        patch = json.dumps({"spec": {"template": {"spec": added}}})
        users.instances.kubectl("patch", "deployment", "hopper-shop", f"--patch={patch}")
        manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
        users.apply(OPERATOR, manifest)

    def test_foreign_objects_are_not_deleted(self, users: Users) -> None:
        users.instances.kubectl("create", "configmap", "foreign")
        arguments = ("delete", "configmap", "foreign", f"--as={OPERATOR}")
        assert "objects with a HopperInstance" in refusal(users.instances.kubectl, *arguments)

    def test_a_system_namespace_is_refused(self, cluster: Cluster, users: Users) -> None:
        manifest = self.owned(users)
        manifest["metadata"]["namespace"] = "kube-system"
        text = json.dumps(manifest)
        arguments = ("create", f"--as={OPERATOR}", "--dry-run=server", "--filename=-")
        with pytest.raises(KubectlError, match="may not write in a system namespace"):
            cluster.kubectl(*arguments, input=text)

    def test_the_spec_of_an_instance_is_not_changed(self, users: Users) -> None:
        users.apply("novice", instance("shop"))
        assert "may not change the spec" in refusal(users.patch, OPERATOR, "shop", {"desiredState": "Stopped"})
        arguments = ("annotate", f"--as={OPERATOR}", KIND, "shop", "a=b")
        users.instances.kubectl(*arguments)


class TestGatewayWrites:
    @pytest.fixture(autouse=True)
    def everything_is_permitted(self, cluster: Cluster, users: Users) -> Iterator[None]:
        name = "policy-test-gateway"
        cluster.kubectl("create", "clusterrolebinding", name, "--clusterrole=cluster-admin", f"--user={GATEWAY}")
        yield
        cluster.kubectl("delete", "clusterrolebinding", name)

    def test_the_gateway_writes_for_its_callers(self, users: Users) -> None:
        users.apply(GATEWAY, instance("shop"), template(env=[REFERENCE]), instance("shop-web", WEB))
        users.patch(GATEWAY, "shop", {"desiredState": "Terminated"})
        shard = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hopper-heartbeats-0"}}
        users.apply(GATEWAY, shard)

    @pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
    def test_other_objects_are_refused(self, users: Users, kind: str) -> None:
        manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "stolen"}}
        assert "may only write Hopper's kinds" in refusal(users.apply, GATEWAY, manifest)

    def test_a_system_namespace_is_refused(self, cluster: Cluster, users: Users) -> None:
        text = json.dumps(template())
        arguments = ("create", f"--as={GATEWAY}", "--namespace=kube-system", "--dry-run=server", "--filename=-")
        with pytest.raises(KubectlError, match="may not write in a system namespace"):
            cluster.kubectl(*arguments, input=text)
