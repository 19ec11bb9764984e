"""Authentication and permissions: Kubernetes tokens, API keys, and none on a loopback address."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from hopper.api.resources import INSTANCES, TEMPLATES, Resource
from hopper.gateway.auth import ApiKeyAuthority, NoAuthentication, Permission, TokenAuthority
from hopper.gateway.auth.api_keys import hash_of, new_key
from hopper.gateway.auth.tokens import ReviewCache
from hopper.gateway.http.errors import ServiceUnavailableError, TooManyRequestsError, UnauthorizedError
from hopper.gateway.http.limits import UnknownCredentialLimit
from hopper.ports import RefusedError, UnavailableError, User
from tests.unit.gateway.error_responses import assert_problem
from tests.unit.gateway.in_memory_gateway import InMemoryGateway, settings_with

READ = Permission("get", INSTANCES)
WRITE = Permission("patch", INSTANCES)
TEMPLATE = Permission("create", TEMPLATES)


class RecordedReviews:
    """`ports.AccessReviews` with some tokens and permissions, and a record of all requests."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {"t-alice": User("alice", groups=("dev",)), "t-bob": User("bob")}
        self.rights = {("alice", "get", "a"), ("alice", "list", "a")}
        self.requests: list[str] = []
        self.error: Exception | None = None

    async def authenticate(self, token: str) -> User | None:
        self.requests.append(token)
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return self.users.get(token)

    async def is_allowed(
        self, user: User, verb: str, resource: Resource, subresource: str, namespace: str, name: str = ""
    ) -> bool:
        self.requests.append(f"{user.name} {verb} {namespace}")
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return (user.name, verb, namespace) in self.rights


def sends(token: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {token}"}


class TestTokenAuthority:
    async def test_the_api_server_decides(self) -> None:
        reviews = RecordedReviews()
        tokens = TokenAuthority(reviews)
        alice = await tokens.identify(sends("t-alice"))
        assert alice.name == "alice"
        responses = [
            await tokens.allows(alice, permission, where) for permission in (READ, WRITE) for where in ("a", "b")
        ]
        assert responses == [True, False, False, False]

    async def test_reviews_are_cached(self) -> None:
        """Also negative ones, and concurrent requests share one review."""
        reviews = RecordedReviews()
        tokens = TokenAuthority(reviews)
        for _ in range(3):
            callers = await asyncio.gather(*(tokens.identify(sends("t-alice")) for _ in range(20)))
            for permission in (READ, WRITE):
                await asyncio.gather(*(tokens.allows(callers[0], permission, "a") for _ in range(20)))
            for _ in range(5):
                with pytest.raises(UnauthorizedError):
                    await tokens.identify(sends("wrong"))
        assert reviews.requests == ["t-alice", "alice get a", "alice patch a", "wrong"]

    @pytest.mark.parametrize(
        "value", [None, "", "Bearer", "Bearer ", "Basic YTpi", "t-alice", "Bearer " + "x" * 20_000]
    )
    async def test_a_missing_or_malformed_token_is_rejected(self, value: str | None) -> None:
        reviews = RecordedReviews()
        with pytest.raises(UnauthorizedError) as caught:
            await TokenAuthority(reviews).identify({} if value is None else {"authorization": value})
        assert caught.value.headers
        assert "Bearer" in caught.value.headers["WWW-Authenticate"]
        assert reviews.requests == []

    async def test_unknown_tokens_are_limited_before_the_review(self) -> None:
        """For each address and in total; known tokens, valid ones and errors do not count."""
        reviews, now, waits = RecordedReviews(), [0.0], list[str]()
        tokens = TokenAuthority(reviews, UnknownCredentialLimit(1, 10, clock=lambda: now[0]))
        reviews.users |= {f"valid-{number}": User("alice") for number in range(50)}

        async def codes_of(prefix: str, count: int, address: str) -> list[int | str]:
            codes: list[int | str] = []
            for number in range(count):
                try:
                    codes.append((await tokens.identify(sends(f"{prefix}-{number}"), address)).name)
                except UnauthorizedError as error:
                    codes.append(error.code)
                except TooManyRequestsError as error:
                    codes.append(error.code)
                    waits.append((error.headers or {})["Retry-After"])
            return codes

        assert await codes_of("valid", 50, "a") == ["alice"] * 50
        assert await codes_of("garbage", 300, "a") == [401] * 10 + [429] * 290
        assert len(reviews.requests) == 60
        assert await codes_of("valid", 50, "a") == ["alice"] * 50
        assert await codes_of("other", 10, "b") == [401] * 10
        now[0] = 1.0
        assert await codes_of("more", 3, "a") == [401, 429, 429]
        for address in range(100):
            await codes_of(f"many-{address}", 10, f"c{address}")
        assert len(reviews.requests) == 60 + 10 + 1 + 29 + 5  # 50 of all addresses, and 5 more after a second
        assert set(waits) == {"1"}

    async def test_failed_reviews_do_not_count(self) -> None:
        reviews = RecordedReviews()
        tokens, reviews.error = TokenAuthority(reviews, UnknownCredentialLimit(1, 2)), UnavailableError("no answer")
        for _ in range(20):
            with pytest.raises(UnavailableError):
                await tokens.identify(sends("t-alice"), "a")
        reviews.error = None
        assert (await tokens.identify(sends("t-alice"), "a")).name == "alice"

    async def test_garbage_tokens_get_429_through_rest(self) -> None:
        reviews = RecordedReviews()
        gateway = InMemoryGateway(
            TokenAuthority(reviews, settings_with(requests_per_second=5.0, burst=10).unknown_credential_limit())
        )
        codes = Counter(
            [(await gateway.get("/instances", headers=sends(f"garbage-{n}"))).status_code for n in range(300)]
        )
        assert codes[429] > 270
        assert codes[401] == len(reviews.requests) < 30
        problem = await gateway.get("/instances", headers=sends("garbage"))
        assert_problem(problem, 429, "TooManyRequests")
        assert problem.headers["retry-after"] == "1"

    async def test_errors_are_not_cached(self) -> None:
        reviews = RecordedReviews()
        tokens, reviews.error = TokenAuthority(reviews), UnavailableError("no answer")
        with pytest.raises(UnavailableError):
            await tokens.identify(sends("t-alice"))
        reviews.error = None
        alice = await tokens.identify(sends("t-alice"))
        reviews.error = RefusedError("403: may not create tokenreviews", code=403)
        with pytest.raises(ServiceUnavailableError):
            await tokens.identify(sends("t-bob"))
        with pytest.raises(ServiceUnavailableError):
            await tokens.allows(alice, READ, "a")

    async def test_status_codes(self) -> None:
        reviews = RecordedReviews()
        gateway = InMemoryGateway(TokenAuthority(reviews))
        gateway.instance("web", namespace="a")
        assert_problem(await gateway.get("/instances/web?namespace=a"), 401, "Unauthorized")
        assert (await gateway.get("/instances/web?namespace=a", headers=sends("t-alice"))).status_code == 200
        assert_problem(await gateway.get("/instances/web?namespace=b", headers=sends("t-alice")), 403, "Forbidden")
        assert_problem(await gateway.delete("/instances/web?namespace=a", headers=sends("t-alice")), 403, "Forbidden")
        assert_problem(await gateway.get("/instances/web?namespace=a", headers=sends("t-bob")), 403, "Forbidden")
        reviews.error = UnavailableError("no answer")
        assert_problem(await gateway.get("/instances", headers=sends("t-new")), 503, "ServiceUnavailable")


class TestReviewCache:
    async def test_results_expire(self) -> None:
        now = [0.0]
        cache: ReviewCache[str, int] = ReviewCache(lambda value: float(value), 10, clock=lambda: now[0])
        calls: list[int] = []

        async def ask() -> int:
            calls.append(10)
            return calls[-1]

        for moment in (0.0, 9.9, 10.0, 19.9, 20.1):
            now[0] = moment
            assert await cache.get("k", ask) == 10
        assert len(calls) == 3

    async def test_the_number_of_results_is_bounded(self) -> None:
        cache: ReviewCache[int, int] = ReviewCache(lambda value: 60.0, max_size=10)
        for number in range(100):

            async def ask(number: int = number) -> int:
                return number

            assert await cache.get(number, ask) == number
        assert len(cache) == 10

    async def test_a_cancelled_request_does_not_cancel_the_review(self) -> None:
        cache: ReviewCache[str, int] = ReviewCache(lambda value: 60.0, 10)
        go = asyncio.Event()

        async def ask() -> int:
            await go.wait()
            return 1

        first, second = (asyncio.create_task(cache.get("k", ask)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        go.set()
        assert await second == 1
        with pytest.raises(asyncio.CancelledError):
            await first


def secret(namespace: str, name: str = "keys", uid: str = "1", **entries: Any) -> dict[str, Any]:
    data = {key: base64.b64encode(json.dumps(value).encode()).decode() for key, value in entries.items()}
    return {"metadata": {"namespace": namespace, "name": name, "uid": uid}, "data": data}


class TestApiKeyAuthority:
    async def test_permissions_of_each_role(self) -> None:
        keys = ApiKeyAuthority("home")
        sent = {role: new_key() for role in ("view", "edit", "admin")}
        keys.put(secret("home", **{role: {"hash": hash_of(key), "role": role} for role, key in sent.items()}))
        allowed = {}
        for role, key in sent.items():
            caller = await keys.identify({"x-api-key": key})
            assert caller.name == f"key:{role}"
            allowed[role] = [await keys.allows(caller, permission, "home") for permission in (READ, WRITE, TEMPLATE)]
            assert not await keys.allows(caller, READ, "elsewhere")
        assert allowed == {"view": [True, False, False], "edit": [True, True, False], "admin": [True, True, True]}

    async def test_a_key_may_be_sent_as_bearer_token(self) -> None:
        keys, key = ApiKeyAuthority("home"), new_key()
        keys.put(secret("home", ci={"hash": hash_of(key)}))
        assert (await keys.identify(sends(key))).name == "key:ci"

    async def test_a_removed_key_is_rejected_at_once(self) -> None:
        keys, key = ApiKeyAuthority("home"), new_key()
        raw = secret("home", ci={"hash": hash_of(key)})
        assert keys.put(raw)
        assert not keys.put(raw)
        await keys.identify({"x-api-key": key})
        assert keys.put(secret("home"))
        with pytest.raises(UnauthorizedError):
            await keys.identify({"x-api-key": key})
        keys.put(raw)
        assert not keys.remove(secret("home", uid="other"))
        assert keys.uids() == {("home", "keys"): "1"}
        assert keys.remove(raw)
        with pytest.raises(UnauthorizedError):
            await keys.identify({"x-api-key": key})

    async def test_an_expired_key_is_rejected(self) -> None:
        now = datetime(2026, 3, 1, tzinfo=UTC)
        keys, key = ApiKeyAuthority("home", clock=lambda: now), new_key()
        keys.put(secret("home", old={"hash": hash_of(key), "expires": "2026-02-28T23:59:59Z"}))
        with pytest.raises(UnauthorizedError):
            await keys.identify({"x-api-key": key})
        keys.put(secret("home", old={"hash": hash_of(key), "expires": "2026-03-02T00:00:00"}))
        await keys.identify({"x-api-key": key})

    async def test_keys_for_other_namespaces(self) -> None:
        """Only a Secret in the gateway's own namespace can give permissions in other namespaces."""
        keys, home, away = ApiKeyAuthority("home"), new_key(), new_key()
        keys.put(secret("home", h={"hash": hash_of(home), "namespaces": ["a", "b"]}, all={"hash": hash_of("x" * 40)}))
        keys.put(secret("away", a={"hash": hash_of(away), "role": "admin", "namespaces": ["home", "away", "*"]}))
        caller = await keys.identify({"x-api-key": home})
        assert [await keys.allows(caller, READ, namespace) for namespace in ("home", "a", "b", "c")] == [
            False,
            True,
            True,
            False,
        ]
        caller = await keys.identify({"x-api-key": away})
        assert [await keys.allows(caller, READ, namespace) for namespace in ("home", "away", "c")] == [
            False,
            True,
            False,
        ]
        everywhere = new_key()
        keys.put(secret("home", e={"hash": hash_of(everywhere), "namespaces": ["*"]}))
        assert await keys.allows(await keys.identify({"x-api-key": everywhere}), READ, "anywhere")

    async def test_all_namespaces_from_a_foreign_secret_means_its_own(self) -> None:
        keys, key = ApiKeyAuthority("home"), new_key()
        keys.put(secret("away", a={"hash": hash_of(key), "namespaces": ["*"]}))
        caller = await keys.identify({"x-api-key": key})
        assert [await keys.allows(caller, READ, namespace) for namespace in ("home", "away", "c")] == [
            False,
            True,
            False,
        ]

    async def test_a_key_in_several_secrets(self) -> None:
        """An expired entry or a lesser role does not restrict the others, in any order."""
        key = new_key()
        secrets = {
            "away": {"called-so-away": {"hash": hash_of(key), "role": "edit"}},
            "home": {"ci": {"hash": hash_of(key), "role": "view"}},
            "zone": {"ci": {"hash": hash_of(key), "role": "admin", "expires": "2026-02-28T23:59:59Z"}},
        }
        for order in (list(secrets), list(reversed(secrets))):
            keys = ApiKeyAuthority("home", clock=lambda: datetime(2026, 3, 1, tzinfo=UTC))
            for namespace in order:
                keys.put(secret(namespace, **secrets[namespace]))
            caller = await keys.identify({"x-api-key": key})
            assert caller.name == "key:ci"
            assert [await keys.allows(caller, READ, namespace) for namespace in secrets] == [True, True, False]
            assert [await keys.allows(caller, WRITE, namespace) for namespace in secrets] == [True, False, False]

    async def test_invalid_entries_are_ignored(self, caplog: pytest.LogCaptureFixture) -> None:
        keys, key = ApiKeyAuthority("home"), new_key()
        raw = secret("home", good={"hash": hash_of(key)}, plain={"hash": key}, list=[], odd={"role": "king"})
        raw["data"] |= {"binary": "////", "broken": "no base64!"}
        keys.put(raw)
        assert (await keys.identify({"x-api-key": key})).name == "key:good"
        assert len(caplog.records) == 5
        assert key not in caplog.text

    @pytest.mark.parametrize(
        "headers", [{}, {"x-api-key": ""}, {"x-api-key": "guess"}, {"authorization": "Bearer guess"}]
    )
    async def test_a_missing_or_unknown_key_is_rejected(self, headers: Mapping[str, str]) -> None:
        keys = ApiKeyAuthority("home")
        keys.put(secret("home", ci={"hash": hash_of(new_key())}))
        with pytest.raises(UnauthorizedError):
            await keys.identify(headers)

    async def test_a_secret_without_data(self) -> None:
        raw = secret("home")
        del raw["data"]
        assert ApiKeyAuthority("home").put(raw)


class TestNoAuthentication:
    async def test_all_callers_have_all_permissions(self) -> None:
        caller = await NoAuthentication().identify({})
        assert not caller.is_known
        assert await NoAuthentication().allows(caller, WRITE, "a")
