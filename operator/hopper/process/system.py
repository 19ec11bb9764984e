"""Clock, garbage collector settings and listening sockets of a process.

This module imports only the standard library: `reduce_gc_frequency` takes effect before other modules are imported.
"""

import errno
import gc
import socket
from datetime import UTC, datetime

ALL_ADDRESSES = "::"

_GC_THRESHOLD = 20_000


def wall_clock() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def reduce_gc_frequency() -> None:
    """Run the garbage collector after every 20,000 new objects; call this before importing much.

    By default Python scans the young objects after every 700 new ones, and all objects soon after that.
    """
    gc.set_threshold(_GC_THRESHOLD, 20, 50)


def exempt_loaded_objects_from_gc(*, collect_first: bool = False) -> None:
    """Exclude all objects that exist now from garbage collection, because they stay until the process ends.

    With `collect_first`, garbage that exists now is freed before that.
    """
    if collect_first:
        gc.collect()
    gc.freeze()


def open_listener(host: str, port: int, backlog: int = 128) -> socket.socket:
    """Return a listening socket; port 0 picks a free port. Raises `OSError` if the port is in use.

    `ALL_ADDRESSES` accepts IPv4 and IPv6 connections, where the kernel has both. A pod may have only one of them.
    """
    if host == ALL_ADDRESSES and socket.has_dualstack_ipv6():
        try:
            return socket.create_server((host, port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
    if host == ALL_ADDRESSES:
        return socket.create_server(("", port), backlog=backlog)  # the kernel has no IPv6
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=backlog)
