"""HTTP/1.1 connections with limits for the request head, in size and time.

The limits apply to every client, because the caller is unknown until the head is complete. Bodies have their own limits
(`http.bodies`).
"""

import asyncio
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
MAX_HEAD_SECONDS = 30.0


class BoundedHttpProtocol(HttpToolsProtocol):
    """A connection. A request head that is too large or too slow closes the connection with an error response."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes: int | None = None  # bytes received of an incomplete head; None between requests

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_bytes is None:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            detail = f"the request head is larger than {MAX_HEAD_BYTES} bytes; send fewer or shorter headers"
            self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)

    def send_400_response(self, msg: str) -> None:
        self._reject(HTTPStatus.BAD_REQUEST, "the request is not valid HTTP/1.1 (RFC 9112)")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._start_timer()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(MAX_HEAD_SECONDS, self._time_out)

    def _end_head(self) -> None:
        self._head_bytes = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        if self._head_bytes is None:  # no request has begun, so nothing expects a response
            self._end_head()
            self.transport.close()
        else:
            detail = f"the request head was not complete after {MAX_HEAD_SECONDS:g} s; send the request again"
            self._reject(HTTPStatus.REQUEST_TIMEOUT, detail)

    def _reject(self, status: HTTPStatus, detail: str) -> None:
        self._end_head()
        if self.transport.is_closing():
            return
        problem: dict[str, Any] = {"error_type": status.phrase.replace(" ", ""), "detail": detail}
        body = to_json(problem)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
