"""One request to the API server: JSON in, JSON out (or, where it is long, as it arrives), errors as in `ports`.

The generated per-kind clients are not used on the way: they build models that nobody here needs (0.3 ms a call).
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient

from hopper.ports import ApiError, Cause, ConflictError, ExpiredError, NotFoundError, RefusedError, UnavailableError

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"

# Called after each request with verb, resource (such as hopperinstances/status) and HTTP code (0: no answer).
Observer = Callable[[str, str, int], None]

_ERRORS: Mapping[int, type[ApiError]] = {
    400: RefusedError,
    403: RefusedError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    422: RefusedError,
}
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30)
# What is long may take its time, as long as more of it arrives.
STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=30)
# A live watch is never silent for so long, because the API server sends a bookmark about every minute.
WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=150)
_CHUNK = 2**17


class Kube:
    """Requests to one API server over a shared connection pool; none that writes while `may_write` says no."""

    def __init__(
        self, client: ApiClient, observer: Observer | None = None, may_write: Callable[[], bool] = lambda: True
    ) -> None:
        self._client = client
        self._observe = observer or (lambda verb, resource, code: None)
        self._may_write = may_write

    async def request(
        self,
        method: str,
        path: str,
        *,
        resource: str,
        body: object = None,
        content_type: str = JSON,
        query: str = "",
    ) -> dict[str, Any]:
        """Send one request and return the decoded answer. Raises a subclass of `ApiError`."""
        sent = self._send(method, path, resource, REQUEST_TIMEOUT, body=body, content_type=content_type, query=query)
        async with sent as response:
            payload = await response.read()
        try:
            answer: dict[str, Any] = json.loads(payload)
        except ValueError as error:
            raise UnavailableError(f"{method} {path}: the answer is not JSON: {_shorten(payload)}") from error
        return answer

    async def stream(self, path: str, *, resource: str, query: str = "") -> AsyncGenerator[bytes, None]:
        """Get something long, in chunks as they arrive; close it if not all is read.

        Raises a subclass of `ApiError`, also in the middle of it.
        """
        async with self._send("GET", path, resource, STREAM_TIMEOUT, query=query) as response:
            async for chunk in response.content.iter_chunked(_CHUNK):
                yield chunk

    @asynccontextmanager
    async def watch(self, path: str, *, resource: str, query: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch, and hand out its answer in chunks as they arrive.

        Raises a subclass of `ApiError`, also while the answer is being read.
        """
        async with self._send("GET", path, resource, WATCH_TIMEOUT, query=query, verb="WATCH") as response:
            yield response.content.iter_chunked(_CHUNK)

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        resource: str,
        timeout: aiohttp.ClientTimeout,
        *,
        body: object = None,
        content_type: str = JSON,
        query: str = "",
        verb: str = "",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Hand out the answer, to be read. What goes wrong by the end of that is an error of `ports`."""
        if content_type == APPLY_PATCH:
            body, content_type = _yaml(body), _AsItIs(content_type)
        headers = {"Accept": JSON, "Content-Type": content_type}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        if method != "GET" and not self._may_write():
            raise UnavailableError(f"{method} {path}: not sent, this process must not write now")
        url = f"{self._client.configuration.host}{path}{f'?{query}' if query else ''}"
        code = 0
        try:
            answer = await self._client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
            async with answer.response as response:
                if response.status >= 400:
                    payload = await response.read()
                    code = response.status
                    raise _ERRORS.get(code, UnavailableError)(
                        _explain(code, payload), code=code, causes=_causes(payload)
                    )
                try:
                    yield response
                finally:
                    hang_up(response)
                code = response.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"{method} {path}: {brief(error)}") from error
        finally:
            self._observe(verb or method, resource, code)

    async def close(self) -> None:
        """Close the connection pool."""
        await self._client.close()


def hang_up(response: aiohttp.ClientResponse) -> None:
    """End the connection of an answer that is not read to its end, at once.

    Merely closed, TLS says good-bye first: that takes as long as the other side likes, and nobody waits for it.
    """
    if (transport := transport_of(response)) is not None:
        transport.abort()


def transport_of(response: aiohttp.ClientResponse) -> asyncio.Transport | None:
    """Return what an answer is being read from; None once it is read to its end."""
    return response.connection.transport if response.connection is not None else None


def brief(error: BaseException) -> str:
    """What has gone wrong with a request, in the same words for every path."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


class _AsItIs(str):
    """A content type that the client does not recognise: it would write the body as JSON once more.

    It has to be the very words all the same: with a charset, the API server does not count an apply as one.
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def _yaml(body: object) -> bytes:
    """Write JSON that is YAML too, which JSON is not quite.

    YAML does not put two escapes together, as JSON does for an emoji, and takes line separators for the ends of lines.
    """
    return _NOT_IN_YAML.sub(lambda it: f"\\u{ord(it[0]):04x}", json.dumps(body, ensure_ascii=False)).encode()


def _explain(code: int, payload: bytes) -> str:
    try:
        return f"{code}: {json.loads(payload)['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{code}: {_shorten(payload)}"


def _causes(payload: bytes) -> tuple[Cause, ...]:
    try:
        found = json.loads(payload)["details"]["causes"]
        return tuple(Cause(it.get("field", ""), it["message"], it.get("reason", "")) for it in found)
    except (ValueError, KeyError, TypeError):
        return ()


def _shorten(payload: bytes) -> str:
    return payload[:200].decode(errors="replace")
