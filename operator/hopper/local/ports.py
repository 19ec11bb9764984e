"""Ports on the loopback address that a server may take, and keep while it is away for a moment."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from hopper.local import record
from hopper.local.errors import ClusterStartError, PortTakenError
from hopper.local.paths import cache_dir, clusters_dir

# Where systems usually draw no ports for outgoing connections; where this one does, is left out.
_PORTS = range(10_000, 32_768)
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Longer than a connection that has ended keeps its port (TIME_WAIT).
_FREE_WITHIN = 90.0
_POLL = 0.1


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int, cache: Path | None = None) -> list[int]:
    """`count` different free ports, drawn at random so that clusters starting at once seldom want the same ones.

    Ports of the clusters in `cache` (see `paths.cache_dir`) are theirs also while nobody listens there: the component
    may be about to come back. Raises ClusterStartError.
    """
    taken = _on_record(clusters_dir(cache or cache_dir()))
    quiet = _without(_PORTS, _outgoing())
    candidates = random.sample(quiet, k=len(quiet))
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            break
        if port not in taken and port_is_free(port):
            found.append(port)
    if len(found) < count:
        raise ClusterStartError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop - 1}: end something")
    return found


def await_free(ports: Iterable[int]) -> None:
    """Wait until a server could listen on each of the ports: what a dead one held may take a moment to be let go.

    Raises PortTakenError.
    """
    deadline = time.monotonic() + _FREE_WITHIN
    for port in ports:
        while not port_is_free(port):
            if time.monotonic() > deadline:
                raise PortTakenError(f"another process has taken port {port}: end it and try again")
            time.sleep(_POLL)


def _on_record(clusters: Path) -> set[int]:
    directories = clusters.iterdir() if clusters.is_dir() else ()
    found = (record.read(directory) for directory in directories)
    return {port for cluster in found if cluster for port in cluster.ports.values()}


def _outgoing() -> range:
    """The ports that this system draws for outgoing connections, as far as it tells."""
    try:
        first, last = map(int, _OUTGOING.read_text().split())
    except (OSError, ValueError):
        return range(0)
    return range(first, last + 1)


def _without(ports: Collection[int], others: Collection[int]) -> list[int]:
    """The ports that are not among the others; all of them where nothing would be left."""
    return [port for port in ports if port not in others] or list(ports)
