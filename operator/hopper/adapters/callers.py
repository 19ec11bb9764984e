"""Requests that the gateway sends for its callers: writes of specs, and access reviews.

RBAC for the reviews: create on `tokenreviews` and `subjectaccessreviews`.
"""

import base64
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlencode

from hopper.adapters.kube import MERGE_PATCH, KubeClient
from hopper.api.names import GATEWAY_MANAGER
from hopper.api.resources import SECRETS, Manifest, Resource
from hopper.ports import User

# Strict validation, because an unknown field is a mistake of the caller and must be reported.
_QUERY = urlencode({"fieldManager": GATEWAY_MANAGER, "fieldValidation": "Strict"})
_AUTHENTICATION_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
_AUTHORIZATION_PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class KubeIntents:
    """`ports.IntentStore` on an API server."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def read(self, resource: Resource, namespace: str, name: str) -> Manifest:
        return await self._kube.request("GET", resource.path(namespace, name), resource=resource.plural)

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        path = resource.path(namespace)
        return await self._kube.request("POST", path, resource=resource.plural, body=manifest, query=_QUERY)

    async def patch(self, resource: Resource, namespace: str, name: str, changes: Manifest) -> Manifest:
        return await self._kube.request(
            "PATCH",
            resource.path(namespace, name),
            resource=resource.plural,
            body=changes,
            content_type=MERGE_PATCH,
            query=_QUERY,
        )

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        version: str | None = None,
        orphan: bool = False,
    ) -> None:
        preconditions = {"uid": uid} | ({"resourceVersion": version} if version else {})
        options = {"preconditions": preconditions, "propagationPolicy": "Orphan" if orphan else "Background"}
        await self._kube.request("DELETE", resource.path(namespace, name), resource=resource.plural, body=options)


class KubeSecretValues:
    """`ports.SecretValueStore` on an API server.

    RBAC: create and patch on `secrets`. Reads are patches that change nothing, because an admission policy limits
    patches to the Secrets of Hopper, and can limit no read.
    """

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def create(self, namespace: str, manifest: Manifest) -> None:
        path = SECRETS.path(namespace)
        await self._kube.request("POST", path, resource=SECRETS.plural, body=manifest, query=_QUERY)

    async def read(self, namespace: str, name: str) -> Mapping[str, str]:
        stored = await self._kube.request(
            "PATCH",
            SECRETS.path(namespace, name),
            resource=SECRETS.plural,
            body={},
            content_type=MERGE_PATCH,
            query=f"{_QUERY}&dryRun=All",
        )
        return {key: base64.b64decode(value).decode() for key, value in (stored.get("data") or {}).items()}


class KubeAccessReviews:
    """`ports.AccessReviews` on an API server.

    Tokens must be for one of the audiences. Without any, they must be for the API server.
    """

    def __init__(self, kube: KubeClient, audiences: Collection[str] = ()) -> None:
        self._kube = kube
        self._audiences = list(audiences)

    async def authenticate(self, token: str) -> User | None:
        spec: dict[str, Any] = {"token": token} | ({"audiences": self._audiences} if self._audiences else {})
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        review = await self._kube.request("POST", _AUTHENTICATION_PATH, resource="tokenreviews", body=body)
        status = review.get("status") or {}
        if not status.get("authenticated"):
            return None
        # An authenticator that does not know audiences accepts the token, but returns none.
        if self._audiences and not set(self._audiences) & set(status.get("audiences") or ()):
            return None
        user = status["user"]
        extra = tuple((key, tuple(values)) for key, values in (user.get("extra") or {}).items())
        return User(user["username"], user.get("uid", ""), tuple(user.get("groups") or ()), extra)

    async def is_allowed(
        self, user: User, verb: str, resource: Resource, subresource: str, namespace: str, name: str = ""
    ) -> bool:
        attributes = {"namespace": namespace, "verb": verb, "group": resource.group, "resource": resource.plural}
        spec: dict[str, Any] = {"user": user.name, "uid": user.uid, "groups": list(user.groups)}
        spec["extra"] = {key: list(values) for key, values in user.extra}
        optional = {"subresource": subresource, "name": name}
        spec["resourceAttributes"] = attributes | {key: value for key, value in optional.items() if value}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        review = await self._kube.request("POST", _AUTHORIZATION_PATH, resource="subjectaccessreviews", body=body)
        status = review.get("status") or {}
        return bool(status.get("allowed")) and not status.get("denied")
