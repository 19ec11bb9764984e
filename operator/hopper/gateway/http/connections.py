"""Connections of the gateway: how many there may be, and which one ends when there are too many.

A connection takes memory before its caller is known, so the limits apply to every client. A client that sends nothing
must not keep others out: at the limit, the connection that has waited longest for its client ends. Connections whose
request is being answered are never ended. If there are no others, the new connection is refused.
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import resource
import socket
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from pydantic_core import to_json

from hopper.gateway.http.responses import SECURITY_HEADERS
from hopper.gateway.http.tls import ServerCertificate

logger = logging.getLogger(__name__)

MAX_HANDSHAKE_SECONDS = 10.0
MAX_SHUTDOWN_SECONDS = 5.0

_ACCEPTS_AT_ONCE = 32
_RETRY_SECONDS = 0.5
# Files that the process needs beside its connections: libraries, logs, and connections to the API server.
_RESERVED_FILES = 256
_MAX_FILES = 65_536
_LOGGED_EVERY_SECONDS = 10.0
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ConnectionSlot:
    """Connection in the count of a `ConnectionLimit`. `end` closes the connection at once."""

    def __init__(self, limit: "ConnectionLimit", address: str, end: Callable[[], None]) -> None:
        self._limit = limit
        self.address = address
        self.end = end

    def wait_for_client(self) -> None:
        """Mark the connection as waiting for its client, from now on."""
        self._limit.mark_waiting(self)

    def answer(self) -> None:
        """Mark the connection as answering a request."""
        self._limit.mark_answering(self)

    def release(self) -> None:
        """Remove the connection from the count. Later calls have no effect."""
        self._limit.remove(self)


class ConnectionLimit:
    """Limit for open connections, in total and for each client address."""

    def __init__(self, limit: int, limit_per_address: int) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._open = set[ConnectionSlot]()
        self._open_by_address = Counter[str]()
        # Connections that wait for their client, the longest wait first, in total and by address.
        self._waiting: dict[ConnectionSlot, None] = {}
        self._waiting_by_address: dict[str, dict[ConnectionSlot, None]] = {}

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._open)

    @property
    def waiting_count(self) -> int:
        """Number of connections that wait for their client."""
        return len(self._waiting)

    @property
    def address_count(self) -> int:
        """Number of client addresses with an open or waiting connection."""
        return len(self._open_by_address.keys() | self._waiting_by_address.keys())

    def acquire(self, address: str, end: Callable[[], None]) -> ConnectionSlot | None:
        """Count a new connection, which waits for its client. Return None if it must be refused.

        At a limit, the connection that has waited longest ends first: a connection of the same address if
        the limit of that address is reached, else any connection.
        """
        if self._open_by_address[address] >= self._limit_per_address:
            if not self._end_longest_wait(self._waiting_by_address.get(address, {})):
                return None
        elif len(self._open) >= self._limit and not self._end_longest_wait(self._waiting):
            return None
        slot = ConnectionSlot(self, address, end)
        self._open.add(slot)
        self._open_by_address[address] += 1
        self.mark_waiting(slot)
        return slot

    def mark_waiting(self, slot: ConnectionSlot) -> None:
        if slot in self._open and slot not in self._waiting:
            self._waiting[slot] = None
            self._waiting_by_address.setdefault(slot.address, {})[slot] = None

    def mark_answering(self, slot: ConnectionSlot) -> None:
        if slot in self._waiting:
            del self._waiting[slot]
            waiting = self._waiting_by_address[slot.address]
            del waiting[slot]
            if not waiting:
                del self._waiting_by_address[slot.address]

    def remove(self, slot: ConnectionSlot) -> None:
        if slot not in self._open:
            return
        self.mark_answering(slot)
        self._open.remove(slot)
        self._open_by_address[slot.address] -= 1
        if not self._open_by_address[slot.address]:
            del self._open_by_address[slot.address]

    def _end_longest_wait(self, waiting: dict[ConnectionSlot, None]) -> bool:
        slot = next(iter(waiting), None)
        if slot is None:
            return False
        slot.release()
        slot.end()
        return True


# Creates the protocol of an accepted connection.
ProtocolFactory = Callable[[ConnectionSlot], asyncio.Protocol]


class Listener:
    """Listening socket that applies a `ConnectionLimit` to each connection before anything else is done for it.

    It has the methods of `asyncio.Server` that uvicorn uses.
    """

    def __init__(
        self,
        listening: socket.socket,
        factory: ProtocolFactory,
        limit: ConnectionLimit,
        certificate: ServerCertificate | None = None,
    ) -> None:
        self._socket = listening
        self._factory = factory
        self._limit = limit
        self._certificate = certificate
        self._setups = set[asyncio.Task[None]]()
        self._refused = 0
        self._logged_at = float("-inf")
        listening.setblocking(False)
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        self._accepting.cancel()
        for task in self._setups:
            task.cancel()
        self._socket.close()

    async def wait_closed(self) -> None:
        await asyncio.gather(self._accepting, *self._setups, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        accepted = 0
        while True:
            try:
                connection, address = await loop.sock_accept(self._socket)
            except OSError as error:
                if self._socket.fileno() < 0:
                    return
                if error.errno in _OUT_OF_RESOURCES:
                    logger.error("cannot accept connections: %s; trying again in %g s", error, _RETRY_SECONDS)
                    await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._admit(connection, client_network(str(address[0])))
            accepted += 1
            if accepted % _ACCEPTS_AT_ONCE == 0:
                await asyncio.sleep(0)  # sock_accept does not wait while connections are queued

    def _admit(self, connection: socket.socket, address: str) -> None:
        setup: asyncio.Task[None] | None = None

        def end_setup() -> None:
            if setup is not None:
                setup.cancel()

        slot = self._limit.acquire(address, end_setup)
        if slot is None:
            self._refuse(connection)
            return
        setup = asyncio.create_task(self._set_up(connection, slot))
        self._setups.add(setup)
        setup.add_done_callback(self._setups.discard)

    async def _set_up(self, connection: socket.socket, slot: ConnectionSlot) -> None:
        """Create the transport and the protocol of a connection. From then on, the protocol releases the slot."""
        try:
            loop = asyncio.get_running_loop()
            context = self._certificate.context() if self._certificate else None
            await loop.connect_accepted_socket(
                lambda: self._factory(slot),
                connection,
                ssl=context,
                ssl_handshake_timeout=MAX_HANDSHAKE_SECONDS if context else None,
                ssl_shutdown_timeout=MAX_SHUTDOWN_SECONDS if context else None,
            )
        except BaseException as error:
            slot.release()
            connection.close()
            # The traceback refers to the TLS buffers, and to itself through its frames: they would stay until the
            # garbage collector runs.
            error.__traceback__ = None
            if not isinstance(error, OSError):
                raise

    def _refuse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.setblocking(False)
            if self._certificate is None:
                connection.send(_REFUSAL)
            connection.shutdown(socket.SHUT_WR)
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _LOGGED_EVERY_SECONDS:
            logger.warning("too many connections: %d refused, %d open", self._refused, len(self._limit))
            self._logged_at, self._refused = now, 0


@lru_cache(maxsize=4096)
def client_network(host: str) -> str:
    """Return the address that limits count a client under: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address, which only programs on this machine can reach."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_connections(wanted: int) -> int:
    """Return the number of connections for which the process may open files, at most `wanted`.

    Raises the soft limit for open files, if the hard limit permits.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < ceiling:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
            soft = ceiling
    available = wanted if soft == resource.RLIM_INFINITY else soft - _RESERVED_FILES
    return max(1, min(wanted, available))


def plain_response(status_line: str, error_type: str, detail: str, *headers: str) -> bytes:
    """Return an error response as sent, for connections without a request. It announces the end of the connection."""
    body = to_json({"error_type": error_type, "detail": detail})
    lines = [
        f"HTTP/1.1 {status_line}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in SECURITY_HEADERS.items()),
        *headers,
        "connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


_REFUSAL = plain_response(
    "503 Service Unavailable",
    "ServiceUnavailable",
    "the gateway has too many connections; try again later",
    "retry-after: 5",
)
