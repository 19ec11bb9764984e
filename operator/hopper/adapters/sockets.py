"""Ports to listen on."""

import errno
import socket

ALL_ADDRESSES = "::"


def listening(host: str, port: int, backlog: int = 128) -> socket.socket:
    """Return a socket that listens; port 0 picks a free one. Raises `OSError` where the port is taken.

    On `ALL_ADDRESSES` it hears IPv4 and IPv6, where there is both: a pod may have only one of them.
    """
    if host == ALL_ADDRESSES and socket.has_dualstack_ipv6():
        try:
            return socket.create_server((host, port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
    if host == ALL_ADDRESSES:
        return socket.create_server(("", port), backlog=backlog)  # the kernel knows no IPv6
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=backlog)
