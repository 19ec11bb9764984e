"""Permissions that a write needs because Hopper acts for its author, and the secret values of writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from hopper.gateway.auth import Caller, Permission
from hopper.gateway.auth.api_keys import ApiKey, KeyCaller, KeyRole
from hopper.ports import RefusedError
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway, settings_with

SHOP = "/stacks/shop/instances"
ROUTES = "get list create patch delete"
SECRET = {"name": "TOKEN", "value": "s3cret", "secret": True}
FOREIGN = {"secretKeyRef": {"name": "foreign", "key": "token"}}
FILE = {"path": "/etc/x", "contentFrom": FOREIGN}
DEPLOY, READ, REMOVE = "create deployments", "get secrets", "delete hopperinstances"


class Grants:
    """An authority whose caller has all permissions for Hopper's kinds but deletion, and those in `more`."""

    scheme: str | None = "bearer"

    def __init__(self) -> None:
        self.more: set[str] = set()

    async def identify(self, headers: Mapping[str, str], address: str = "") -> Caller:
        return Caller("alice")

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        if permission.resource.group == "hopper.dev" and permission.verb != "delete":
            return True
        return str(permission) in self.more or str(permission).partition(' "')[0] in self.more


@pytest.fixture
def grants() -> Grants:
    return Grants()


@pytest.fixture
async def gateway(grants: Grants) -> AsyncIterator[InMemoryGateway]:
    """A gateway with a stack of one service, and with a record of a terminated instance."""
    gateway = InMemoryGateway(grants)
    gateway.template("web")
    gateway.instance("shop")
    gateway.instance("shop-a", "Orchestration", "shop", templateRef={"name": "web"})
    gateway.instance("old", phase="Terminated", desiredState="Terminated")
    gateway.instance("shop-old", "Orchestration", "shop", phase="Terminated", desiredState="Terminated")
    async with gateway.client:
        yield gateway
    gateway.release_app()


def _new(**fields: Any) -> dict[str, Any]:
    return {"name": "new", "scope": "PROJECT", "template": "web", **fields}


# method, path, body, the permissions that it needs beyond those of its route
WRITES: list[tuple[str, str, Any, list[str]]] = [
    ("POST", "/templates", {"name": "t", "spec": {"image": "a"}}, [DEPLOY]),
    ("PUT", "/templates/web", {"spec": {"image": "evil"}}, [DEPLOY]),
    ("PUT", "/templates/web", {"spec": {"image": "a", "env": [{"name": "A", "valueFrom": FOREIGN}]}}, [DEPLOY, READ]),
    ("POST", "/instances", {"name": "new", "scope": "PROJECT"}, []),
    ("POST", "/instances", _new(), [DEPLOY]),
    ("POST", "/instances", _new(overrides={"configFiles": [FILE]}), [DEPLOY, READ]),
    ("POST", "/instances", {"name": "old", "scope": "PROJECT"}, [REMOVE]),
    ("PUT", "/instances/shop", {"description": "d", "config": {"extra": {"a": 1}}}, []),
    ("PUT", "/instances/shop", {"template": "web"}, [DEPLOY]),
    ("PUT", "/instances/shop-a", {"config": {"extra": {"a": 1}}}, [DEPLOY]),
    ("PUT", "/instances/shop-a", {"overrides": {"env": [{"name": "A", "valueFrom": FOREIGN}]}}, [DEPLOY, READ]),
    ("DELETE", "/instances/shop-a", None, [REMOVE]),
    ("POST", SHOP, {"instance_id": "b", "template_service_id": "web"}, [DEPLOY]),
    ("POST", SHOP, {"instance_id": "old", "template_service_id": "web"}, [DEPLOY, REMOVE]),
    ("PUT", f"{SHOP}/a", {"description": "d", "enabled": False}, []),
    ("PUT", f"{SHOP}/a/labels", [{"name": "tier", "value": "x"}], [DEPLOY]),
    ("PUT", f"{SHOP}/a/env-vars", [{"name": "A", "valueFrom": FOREIGN}], [DEPLOY, READ]),
    ("PUT", f"{SHOP}/a/config-files", [FILE], [DEPLOY, READ]),
    ("POST", f"{SHOP}/a/duplicate", {"instance_id": "b"}, [DEPLOY]),
    ("PUT", f"{SHOP}/a/rename", {"instance_id": "b"}, [DEPLOY, REMOVE]),
    ("DELETE", f"{SHOP}/a", None, [REMOVE]),
    ("POST", "/instances/shop-a/stop", {}, []),
]


@pytest.mark.parametrize(("method", "path", "body", "needed"), WRITES, ids=lambda value: str(value)[:40])
async def test_each_missing_permission_is_refused_by_name(
    gateway: InMemoryGateway, grants: Grants, method: str, path: str, body: Any, needed: list[str]
) -> None:
    before = dict(gateway.store.objects)
    for missing in needed:
        grants.more = set(needed) - {missing}
        problem = assert_problem(await gateway.client.request(method, path, json=body), 403, "Forbidden")
        assert "alice lacks the permission to " + missing in problem["detail"]
        assert gateway.store.objects == before
        assert not gateway.secrets.objects
    grants.more = set(needed)
    response = await gateway.client.request(method, path, json=body)
    assert response.is_success, response.text


async def test_permission_for_the_named_object_is_enough(gateway: InMemoryGateway, grants: Grants) -> None:
    grants.more = {DEPLOY, 'get secrets "foreign"', 'delete hopperinstances "shop-a"'}
    variables = [{"name": "A", "valueFrom": FOREIGN}]
    assert (await gateway.put(f"{SHOP}/a/env-vars", variables)).status_code == 200
    other = [*variables, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "another", "key": "k"}}}]
    problem = assert_problem(await gateway.put(f"{SHOP}/a/env-vars", other), 403, "Forbidden")
    assert 'get secrets "another" in namespace default, which the reference of env[B] needs' in problem["detail"]
    assert (await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"})).status_code == 200


async def test_references_of_others_do_not_block_an_edit(gateway: InMemoryGateway, grants: Grants) -> None:
    variables = [{"name": "A", "valueFrom": FOREIGN}]
    gateway.instance("shop-a", "Orchestration", "shop", templateRef={"name": "web"}, overrides={"env": variables})
    grants.more = {DEPLOY}
    assert (await gateway.put(f"{SHOP}/a/env-vars", [*variables, {"name": "B", "value": "1"}])).status_code == 200
    problem = assert_problem(await gateway.post(f"{SHOP}/a/duplicate", {"instance_id": "b"}), 403, "Forbidden")
    assert 'get secrets "foreign"' in problem["detail"]


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease", "own-system"])
async def test_system_namespaces_are_refused_for_everybody(namespace: str) -> None:
    names = frozenset({"kube-system", "kube-public", "kube-node-lease", "own-system"})
    gateway = InMemoryGateway(settings=settings_with(system_namespaces=names))
    for method, path, body in (
        ("GET", "/instances", None),
        ("POST", "/templates", {"name": "t", "spec": {"image": "a"}}),
    ):
        response = await gateway.client.request(method, path, json=body, params={"namespace": namespace})
        problem = assert_problem(response, 403, "Forbidden")
        assert problem["detail"].startswith(f"namespace {namespace} belongs to the system")


async def test_the_creator_is_the_caller(gateway: InMemoryGateway) -> None:
    body = {"name": "new", "scope": "PROJECT", "created_by": "cluster-admin"}
    response = await gateway.post("/instances", body)
    assert (response.status_code, response.json()["created_by"]) == (201, "alice")
    await gateway.post("/instances/new/stop", {"reason": "x" * 900})
    assert gateway.spec("new")["reason"].endswith("(by alice)")


class KeyHolder:
    """An authority for a key with one role."""

    scheme: str | None = "apiKey"

    def __init__(self, role: KeyRole, *instances: str) -> None:
        self.key = ApiKey("ci", role, frozenset({"*"}), frozenset(instances), None)

    async def identify(self, headers: Mapping[str, str], address: str = "") -> Caller:
        return KeyCaller("key:ci", (self.key,))

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        return self.key.allows(permission, namespace)


CHECK = {"test": ["CMD-SHELL", "curl evil"]}
ENTRY_POINT = {"path": "/entry.sh", "content": "evil", "mode": "0755"}
# method, path, body, the roles that may send it
CALLS: list[tuple[str, str, Any, str]] = [
    ("GET", "/instances", None, "view operate edit admin"),
    ("GET", "/templates/web", None, "view operate edit admin"),
    ("POST", "/registry/instances/shop/heartbeat", {}, "beat edit admin"),
    ("POST", "/registry/instances/shop-a/heartbeat", {}, "edit admin"),
    *(
        ("POST", f"/instances/shop/{action}", {}, "operate edit admin")
        for action in ("stop", "restart", "pause", "archive")
    ),
    ("PUT", "/instances/shop", {"description": "d"}, "edit admin"),
    ("POST", "/instances", _new(), "edit admin"),
    ("PUT", f"{SHOP}/a/env-vars", [{"name": "A", "value": "b"}], "edit admin"),
    ("PUT", f"{SHOP}/a/env-vars", [SECRET], "edit admin"),
    ("PUT", f"{SHOP}/a/ports", [{"containerPort": 80}], "edit admin"),
    ("PUT", f"{SHOP}/a/volumes", [{"target": "/data"}], "edit admin"),
    ("DELETE", f"{SHOP}/a", None, "edit admin"),
    ("PUT", f"{SHOP}/a/rename", {"instance_id": "b"}, "edit admin"),
    ("PUT", f"{SHOP}/a/env-vars", [{"name": "A", "valueFrom": FOREIGN}], "admin"),
    (
        "PUT",
        f"{SHOP}/a/env-vars",
        [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}],
        "admin",
    ),
    ("PUT", f"{SHOP}/a/healthcheck", CHECK, "admin"),
    ("PUT", f"{SHOP}/a/config-files", [ENTRY_POINT], "admin"),
    ("PUT", f"{SHOP}/a/volumes", [{"target": "/data", "source": "victim", "external": True}], "admin"),
    ("PUT", f"{SHOP}/a/volumes", [{"target": "/data", "source": "victim", "type": "config"}], "admin"),
    ("PUT", "/instances/shop-a", {"overrides": {"healthcheck": CHECK}}, "admin"),
    ("POST", "/instances", _new(overrides={"configFiles": [ENTRY_POINT]}), "admin"),
    ("POST", "/templates", {"name": "t", "spec": {"image": "a"}}, "admin"),
    ("PUT", "/templates/web", {"spec": {"image": "evil"}}, "admin"),
    ("DELETE", "/templates/web", None, "admin"),
]


@pytest.mark.parametrize(("method", "path", "body", "roles"), CALLS, ids=lambda value: str(value)[:40])
async def test_api_keys_do_what_their_role_says(method: str, path: str, body: Any, roles: str) -> None:
    for role in KeyRole:
        gateway = InMemoryGateway(KeyHolder(role, "shop"))
        gateway.template("web")
        gateway.instance("shop")
        gateway.instance("shop-a", "Orchestration", "shop", templateRef={"name": "web"})
        if method == "DELETE" and path.startswith("/templates"):
            gateway.instance("shop-a", "Orchestration", "shop")
        response = await gateway.client.request(method, path, json=body)
        assert (response.status_code != 403) == (role in roles.split()), f"{role}: {response.text}"
        assert response.is_success or response.status_code == 403, f"{role}: {response.text}"
        gateway.release_app()


class TestSecretValues:
    @pytest.fixture(autouse=True)
    def may_deploy(self, grants: Grants) -> None:
        grants.more = {DEPLOY, REMOVE}

    async def test_a_value_goes_into_a_secret_of_its_instance(self, gateway: InMemoryGateway) -> None:
        response = await gateway.put(f"{SHOP}/a/env-vars", [SECRET, {"name": "TZ", "value": "UTC"}])
        assert response.json()["env_vars"] == [{"name": "TOKEN", "secret": True}, {"name": "TZ", "value": "UTC"}]
        entry = gateway.spec("shop-a")["overrides"]["env"][0]
        ((_, name), secret), *others = gateway.secrets.objects.items()
        assert not others
        assert entry == {"name": "TOKEN", "secret": True, "valueFrom": {"secretKeyRef": {"name": name, "key": "TOKEN"}}}
        uid = gateway.store.objects["hopperinstances", "default", "shop-a"]["metadata"]["uid"]
        assert (secret["type"], secret["metadata"]["labels"]["app.kubernetes.io/managed-by"]) == ("Opaque", "hopper")
        assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [uid]

    async def test_a_variable_without_value_keeps_it_and_a_new_value_has_a_new_reference(
        self, gateway: InMemoryGateway
    ) -> None:
        shown = (await gateway.put(f"{SHOP}/a/env-vars", [SECRET])).json()["env_vars"]
        first = gateway.spec("shop-a")["overrides"]["env"]
        assert (await gateway.put(f"{SHOP}/a/env-vars", shown)).status_code == 200
        assert gateway.spec("shop-a")["overrides"]["env"] == first
        assert (await gateway.put(f"{SHOP}/a/env-vars", [SECRET | {"value": "other"}])).status_code == 200
        assert gateway.spec("shop-a")["overrides"]["env"] != first
        assert gateway.env_of("shop-a")[0]["value"] == "other"

    @pytest.mark.parametrize("call", ["duplicate", "rename"])
    async def test_copies_have_a_secret_of_their_own(self, gateway: InMemoryGateway, call: str) -> None:
        await gateway.put(f"{SHOP}/a/env-vars", [SECRET])
        method = "POST" if call == "duplicate" else "PUT"
        response = await gateway.client.request(method, f"{SHOP}/a/{call}", json={"instance_id": "b"})
        assert response.is_success, response.text
        assert gateway.env_of("shop-b") == [SECRET]
        assert gateway.spec("shop-b")["overrides"] != gateway.spec("shop-a")["overrides"]
        owners = [secret["metadata"]["ownerReferences"][0]["name"] for secret in gateway.secrets.objects.values()]
        assert owners == ["shop-a", "shop-b"]

    async def test_a_repeated_rename_writes_a_missing_secret(self, gateway: InMemoryGateway) -> None:
        await gateway.put(f"{SHOP}/a/env-vars", [SECRET])
        assert (await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"})).is_success
        gateway.secrets.objects = dict(list(gateway.secrets.objects.items())[:1])
        response = await gateway.put(f"{SHOP}/a/rename", {"instance_id": "b"})
        assert response.is_success, response.text
        assert gateway.env_of("shop-b") == [SECRET]

    async def test_an_instance_whose_secret_cannot_be_written_is_not_created(self, gateway: InMemoryGateway) -> None:
        gateway.secrets.error = RefusedError("403: quota exceeded", code=403)
        for path, body in (
            ("/instances", _new(overrides={"env": [SECRET]})),
            ("/templates", {"name": "new", "spec": {"image": "a", "env": [SECRET]}}),
        ):
            before = dict(gateway.store.objects)
            response = await gateway.post(path, body)
            assert response.status_code in (403, 422), response.text
            assert "s3cret" not in response.text
            assert gateway.store.objects == before

    async def test_a_file_cannot_show_a_secret(self, gateway: InMemoryGateway) -> None:
        """Only the pod knows the value, so a templated file cannot contain it."""
        files = {"configFiles": [{"path": "/a", "template": True, "content": "{{ env.TOKEN }}"}]}
        gateway.template("web", **files, env=[{"name": "TOKEN", "value": "plain"}])
        problem = assert_problem(await gateway.put(f"{SHOP}/a/env-vars", [SECRET]), 422, "ValidationError")
        assert "only the pod knows its value" in problem["detail"]
