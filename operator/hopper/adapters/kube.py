"""Requests to the API server with JSON bodies, streamed responses, and the errors of `ports`.

The generated clients of each kind are not used, because they build models that Hopper does not need (0.3 ms a call).
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient

from hopper.api.bounded_json import decode_json
from hopper.ports import ApiError, Cause, ConflictError, ExpiredError, NotFoundError, RefusedError, UnavailableError

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"

# Called after each request with the verb, the resource (such as hopperinstances/status), and the HTTP status (0: no
# response).
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
# No total limit, because a long list may take a while. A stream without data for 30 s fails.
STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=30)
# A live watch is never silent for so long, because the API server sends a bookmark about every minute.
WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=150)
_CHUNK = 2**17


class KubeClient:
    """Client of one API server with a connection pool. It sends no writes while `may_write` returns False."""

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
        """Send one request and return the decoded response. Raises a subclass of `ApiError`."""
        sent = self._send(method, path, resource, REQUEST_TIMEOUT, body=body, content_type=content_type, query=query)
        async with sent as response:
            payload = await response.read()
        try:
            decoded: dict[str, Any] = decode_json(payload)
        except ValueError as error:
            raise UnavailableError(f"{method} {path}: the response is not JSON: {_shorten(payload)}") from error
        return decoded

    async def stream(self, path: str, *, resource: str, query: str = "") -> AsyncGenerator[bytes, None]:
        """Yield the chunks of a long response as they arrive. Close the generator to end the request early.

        Raises a subclass of `ApiError`, also between chunks.
        """
        async with self._send("GET", path, resource, STREAM_TIMEOUT, query=query) as response:
            async for chunk in response.content.iter_chunked(_CHUNK):
                yield chunk

    @asynccontextmanager
    async def watch(self, path: str, *, resource: str, query: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch and provide the chunks of its response as they arrive.

        Raises a subclass of `ApiError`, also between chunks.
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
        """Provide the response to a request. Errors while it is sent or read become errors of `ports`."""
        if content_type == APPLY_PATCH:
            body, content_type = _yaml(body), _UnchangedContentType(content_type)
        headers = {"Accept": JSON, "Content-Type": content_type}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        if method != "GET" and not self._may_write():
            raise UnavailableError(f"{method} {path}: not sent, because this process must not write now")
        url = f"{self._client.configuration.host}{path}{f'?{query}' if query else ''}"
        code = 0
        try:
            sent = await self._client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
            async with sent.response as response:
                if response.status >= 400:
                    error = await _read_error(response)
                    code = response.status
                    raise error
                try:
                    yield response
                finally:
                    abort_connection(response)
                code = response.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"{method} {path}: {describe_error(error)}") from error
        finally:
            self._observe(verb or method, resource, code)

    async def close(self) -> None:
        """Close the connection pool."""
        await self._client.close()


def abort_connection(response: aiohttp.ClientResponse) -> None:
    """Abort the connection of a response that is not read to its end.

    Closing it would wait for the peer's TLS shutdown, which may never come.
    """
    if (transport := open_transport(response)) is not None:
        transport.abort()


def open_transport(response: aiohttp.ClientResponse) -> asyncio.Transport | None:
    """Return the transport of a response, or None once the response is read to its end."""
    return response.connection.transport if response.connection is not None else None


def describe_error(error: BaseException) -> str:
    """Return a short description of a failed request."""
    if isinstance(error, TimeoutError):
        return "no response in time"
    return str(error) or type(error).__name__


class _UnchangedContentType(str):
    """Content type that compares unequal to every other string, so that the client does not encode the body again.

    The text itself must stay exact, because the API server does not accept an apply whose type has a charset.
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def _yaml(body: object) -> bytes:
    """Return JSON that is also valid YAML.

    YAML does not combine surrogate escapes, such as JSON's for an emoji, and treats line separators as line ends.
    """
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(body, ensure_ascii=False)).encode()


async def _read_error(response: aiohttp.ClientResponse) -> ApiError:
    code, payload = response.status, await response.read()
    return _ERRORS.get(code, UnavailableError)(_error_message(code, payload), code=code, causes=_error_causes(payload))


def _error_message(code: int, payload: bytes) -> str:
    try:
        return f"{code}: {decode_json(payload)['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{code}: {_shorten(payload)}"


def _error_causes(payload: bytes) -> tuple[Cause, ...]:
    try:
        causes = decode_json(payload)["details"]["causes"]
        return tuple(Cause(cause.get("field", ""), cause["message"], cause.get("reason", "")) for cause in causes)
    except (ValueError, KeyError, TypeError):
        return ()


def _shorten(payload: bytes) -> str:
    return payload[:200].decode(errors="replace")
