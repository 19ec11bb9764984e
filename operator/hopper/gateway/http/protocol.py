"""HTTP as uvicorn speaks it, for those too who send the head of a request slowly, or without an end.

Bodies have limits of their own (`bodies`). Before the head is complete nobody knows who is asking, so this is for all.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
MAX_HEAD_SECONDS = 30.0


class Protocol(HttpToolsProtocol):
    """One connection. It is closed where the head of a request is too large, or is not complete in time."""

    _timer: asyncio.TimerHandle | None = None
    _bytes: int | None = None  # of a head that is not complete yet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._bytes is None:
            return
        self._bytes += len(data)
        if self._bytes > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head is larger than {MAX_HEAD_BYTES} bytes")

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, "this is not HTTP/1.1 as RFC 9112 has it")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._bytes = 0
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._forget_head()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(MAX_HEAD_SECONDS, self._is_late)

    def _forget_head(self) -> None:
        self._bytes = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self) -> None:
        if self._bytes is None:  # there is no request to answer
            self._forget_head()
            self.transport.close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the head was not complete after {MAX_HEAD_SECONDS:g} s")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        self._forget_head()
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
