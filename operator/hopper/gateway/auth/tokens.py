"""Tokens of the cluster: who it is says a TokenReview, what they may do a SubjectAccessReview."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from hopper.gateway.auth.authority import Caller, Permission
from hopper.gateway.auth.cache import Cache
from hopper.gateway.http.errors import UnauthorizedError, unavailable
from hopper.ports import AccessReviews, RefusedError, User

# How long an answer holds: a token that is revoked, or a right that is taken away, works on for so long at most.
ACCEPTED_SECONDS = 30.0
REFUSED_SECONDS = 5.0

_LONGEST_TOKEN = 16_384
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="hopper"'}


@dataclass(frozen=True, slots=True)
class TokenCaller(Caller):
    """A user of the cluster."""

    user: User


class Tokens:
    """`Authority` by the tokens that the API server accepts."""

    scheme: str | None = "bearer"

    def __init__(self, reviews: AccessReviews) -> None:
        self._reviews = reviews
        self._users: Cache[bytes, User | None] = Cache(_seconds)
        self._rights: Cache[tuple[User, Permission, str], bool] = Cache(_seconds, most=16_384)

    async def identify(self, headers: Mapping[str, str]) -> Caller:
        token = bearer(headers)
        if not token:
            raise UnauthorizedError("send a token: Authorization: Bearer …", headers=_CHALLENGE)
        if len(token) > _LONGEST_TOKEN:
            raise UnauthorizedError("this is no token of the cluster", headers=_CHALLENGE)
        # Tokens are not kept, only what tells them apart.
        digest = blake2b(token.encode(errors="surrogateescape"), digest_size=20).digest()
        try:
            user = await self._users.get(digest, lambda: self._reviews.authenticate(token))
        except RefusedError as error:
            raise unavailable(f"the gateway cannot have tokens checked: {error}") from None
        if user is None:
            raise UnauthorizedError("the cluster does not accept this token", headers=_CHALLENGE)
        return TokenCaller(user.name, user)

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        assert isinstance(caller, TokenCaller)
        user = caller.user

        async def ask() -> bool:
            it = permission
            return await self._reviews.is_allowed(user, it.verb, it.resource, it.subresource, namespace)

        try:
            return await self._rights.get((user, permission, namespace), ask)
        except RefusedError as error:
            raise unavailable(f"the gateway cannot have rights checked: {error}") from None


def _seconds(answer: object) -> float:
    return ACCEPTED_SECONDS if answer else REFUSED_SECONDS


def bearer(headers: Mapping[str, str]) -> str:
    """Return the token of an Authorization header, empty without one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
