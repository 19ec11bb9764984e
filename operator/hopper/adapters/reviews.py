"""Who somebody is and what they may do, as the API server says. RBAC: create on tokenreviews, subjectaccessreviews."""

from typing import Any

from hopper.adapters.kube import Kube
from hopper.api.resources import Resource
from hopper.ports import User

_TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class KubeReviews:
    """`ports.Reviews` on the real API server."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def user_of(self, token: str) -> User | None:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        answer = await self._kube.request("POST", _TOKENS, resource="tokenreviews", body=body)
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            return None
        user = status["user"]
        extra = tuple((key, tuple(values)) for key, values in (user.get("extra") or {}).items())
        return User(user["username"], user.get("uid", ""), tuple(user.get("groups") or ()), extra)

    async def may(self, user: User, verb: str, resource: Resource, subresource: str, namespace: str) -> bool:
        attributes = {"namespace": namespace, "verb": verb, "group": resource.group, "resource": resource.plural}
        spec: dict[str, Any] = {"user": user.name, "uid": user.uid, "groups": list(user.groups)}
        spec["extra"] = {key: list(values) for key, values in user.extra}
        spec["resourceAttributes"] = attributes | ({"subresource": subresource} if subresource else {})
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = await self._kube.request("POST", _ACCESS, resource="subjectaccessreviews", body=body)
        status = answer.get("status") or {}
        return bool(status.get("allowed")) and not status.get("denied")
