"""HTTP/1.1 connections with limits for the request head, for pipelined requests, and for clients that do not read.

The limits apply to every client, because the caller is unknown until the head is complete. Bodies have their own limits
(`http.bodies`).
"""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hopper.gateway.http.connections import ConnectionSlot, plain_response

MAX_HEAD_BYTES = 65_536
MAX_HEAD_SECONDS = 30.0
# Each header takes about 150 bytes of memory, however short it is.
MAX_HEADERS = 200
# Requests that a client may send before the response to an earlier one is complete.
MAX_PIPELINED = 16
# Time in which a client must read enough of a response for the next part to be sent.
MAX_UNREAD_SECONDS = 60.0


class _RejectedError(Exception):
    """Ends the parsing of received data after the connection has been rejected."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """A connection. One that exceeds a limit is closed, with an error response if a request has begun."""

    _timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    _head_bytes: int | None = None  # bytes received of an incomplete head; None between requests
    slot: ConnectionSlot | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        if self.slot:
            self.slot.end = self.transport.abort
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.slot:
            self.slot.release()
        self._end_head()
        self._end_unread_timer()
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

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= MAX_HEADERS:
            detail = f"the request has more than {MAX_HEADERS} headers; send fewer"
            self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
            raise _RejectedError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._end_head()
        if len(self.pipeline) >= MAX_PIPELINED:
            self.transport.abort()
            raise _RejectedError
        super().on_headers_complete()
        if self.slot:
            self.slot.answer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.slot and (self.cycle is None or self.cycle.response_complete):
            self.slot.wait_for_client()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(MAX_UNREAD_SECONDS, self.transport.abort)
        if self.slot:
            self.slot.wait_for_client()

    def resume_writing(self) -> None:
        self._end_unread_timer()
        if self.slot and self.cycle and not self.cycle.response_complete:
            self.slot.answer()
        super().resume_writing()

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(MAX_HEAD_SECONDS, self._time_out)

    def _end_head(self) -> None:
        self._head_bytes = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

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
        error_type = status.phrase.replace(" ", "")
        self.transport.write(plain_response(f"{status.value} {status.phrase}", error_type, detail))
        self.transport.close()


def bounded_protocol(slot: ConnectionSlot, **arguments: Any) -> BoundedHttpProtocol:
    """Return the protocol of a connection that counts against a `ConnectionLimit`."""
    protocol = BoundedHttpProtocol(**arguments)
    protocol.slot = slot
    return protocol
