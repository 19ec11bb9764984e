"""Authentication with Kubernetes bearer tokens: a TokenReview, then a SubjectAccessReview for each permission."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Generic, TypeVar

from hopper.gateway.auth.authority import Caller, Permission
from hopper.gateway.http.errors import UnauthorizedError, unavailable
from hopper.gateway.http.limits import UnknownCredentialLimit
from hopper.ports import AccessReviews, RefusedError, User

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

# Lifetime of a cached review. A revoked token or permission works for this long at most.
ACCEPTED_SECONDS = 30.0
REFUSED_SECONDS = 5.0

_MAX_TOKEN_LENGTH = 16_384
_CACHED_TOKENS = 4096
_CACHED_PERMISSIONS = 16_384
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="hopper"'}


class ReviewCache(Generic[Key, Value]):
    """Results of reviews, limited in number and lifetime. Errors are not cached.

    `lifetime` returns the seconds for which a result is valid. Concurrent requests for the same key share one review.
    """

    def __init__(
        self, lifetime: Callable[[Value], float], max_size: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime = lifetime
        self._max_size = max_size
        self._clock = clock
        self._results: OrderedDict[Key, tuple[float, Value]] = OrderedDict()  # key → time of expiry, result
        self._reviews: dict[Key, asyncio.Task[Value]] = {}

    def is_known(self, key: Key) -> bool:
        """Whether `get` needs no further review of this key, or the last result was positive."""
        cached = self._results.get(key)
        return key in self._reviews or (cached is not None and (bool(cached[1]) or cached[0] > self._clock()))

    async def get(self, key: Key, review: Callable[[], Awaitable[Value]]) -> Value:
        """Return the cached result, or else the result of `review`. Raises the errors of `review`."""
        cached = self._results.get(key)
        if cached and cached[0] > self._clock():
            return cached[1]
        task = self._reviews.get(key)
        if task is None:
            task = self._reviews[key] = asyncio.create_task(self._run(key, review))
            # Retrieve the exception, because asyncio logs an error if no request is left to do so.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # A request that is cancelled must not cancel the review for the others.
        return await asyncio.shield(task)

    async def _run(self, key: Key, review: Callable[[], Awaitable[Value]]) -> Value:
        try:
            value = await review()
        finally:
            del self._reviews[key]
        self._results.pop(key, None)
        self._results[key] = self._clock() + self._lifetime(value), value
        if len(self._results) > self._max_size:
            self._results.popitem(last=False)
        return value

    def __len__(self) -> int:
        return len(self._results)


@dataclass(frozen=True, slots=True)
class TokenCaller(Caller):
    """A caller with a token that the API server accepts."""

    user: User


class TokenAuthority:
    """`Authority` that asks the API server about tokens and permissions."""

    scheme: str | None = "bearer"

    def __init__(self, reviews: AccessReviews, limit: UnknownCredentialLimit | None = None) -> None:
        self._reviews = reviews
        self._limit = limit or UnknownCredentialLimit()
        self._users: ReviewCache[bytes, User | None] = ReviewCache(_lifetime, _CACHED_TOKENS)
        self._permissions: ReviewCache[tuple[User, Permission, str], bool] = ReviewCache(_lifetime, _CACHED_PERMISSIONS)

    async def identify(self, headers: Mapping[str, str], address: str = "") -> Caller:
        token = bearer_token(headers)
        if not token:
            raise UnauthorizedError(
                "a bearer token is required: send the header Authorization: Bearer <token>", headers=_CHALLENGE
            )
        if len(token) > _MAX_TOKEN_LENGTH:
            raise UnauthorizedError(
                f"the bearer token is longer than {_MAX_TOKEN_LENGTH} characters: send a Kubernetes token",
                headers=_CHALLENGE,
            )
        # The cache holds a digest, so that tokens do not stay in memory.
        digest = blake2b(token.encode(errors="surrogateescape"), digest_size=20).digest()
        try:
            user = await self._review_token(token, digest, address)
        except RefusedError as error:
            raise unavailable(f"the gateway may not create TokenReviews: {error}") from None
        if user is None:
            raise UnauthorizedError(
                "the API server does not accept the bearer token: it may have expired", headers=_CHALLENGE
            )
        return TokenCaller(user.name, user)

    async def _review_token(self, token: str, digest: bytes, address: str) -> User | None:
        """Return the user of a token, None if it is not valid. Raises `TooManyRequestsError` before a review."""

        def review() -> Awaitable[User | None]:
            return self._reviews.authenticate(token)

        if self._users.is_known(digest):
            return await self._users.get(digest, review)
        with self._limit.acquire(address) as refund:
            user = await self._users.get(digest, review)
            if user is not None:
                refund()
        return user

    async def allows(self, caller: Caller, permission: Permission, namespace: str) -> bool:
        assert isinstance(caller, TokenCaller)
        user = caller.user

        async def review() -> bool:
            return await self._reviews.is_allowed(
                user, permission.verb, permission.resource, permission.subresource, namespace, permission.name
            )

        try:
            return await self._permissions.get((user, permission, namespace), review)
        except RefusedError as error:
            raise unavailable(f"the gateway may not create SubjectAccessReviews: {error}") from None


def _lifetime(result: object) -> float:
    return ACCEPTED_SECONDS if result else REFUSED_SECONDS


def bearer_token(headers: Mapping[str, str]) -> str:
    """Return the token in the Authorization header, empty if there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
