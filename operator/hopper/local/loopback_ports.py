"""Free ports on the loopback address, for servers that may have to restart on the same port."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from hopper.local.cluster_files import cache_dir, clusters_dir, read_record
from hopper.local.errors import ClusterStartError, PortTakenError

# Below the usual range of ports for outgoing connections. The range of this system is excluded as well.
_PORTS = range(10_000, 32_768)
_OUTGOING_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Longer than a closed connection keeps its port (TIME_WAIT).
_FREE_WITHIN_SECONDS = 90.0
_POLL_SECONDS = 0.1


def is_port_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int, cache: Path | None = None) -> list[int]:
    """Return `count` different free ports, chosen at random so that clusters that start together rarely collide.

    Ports of the clusters in `cache` (see `cluster_files.cache_dir`) are excluded even if no process listens on them,
    because their component may restart. Raises ClusterStartError.
    """
    reserved = _ports_of_clusters(clusters_dir(cache or cache_dir()))
    candidates = _without(_PORTS, _outgoing_ports())
    free: list[int] = []
    for port in random.sample(candidates, k=len(candidates)):
        if len(free) == count:
            break
        if port not in reserved and is_port_free(port):
            free.append(port)
    if len(free) < count:
        raise ClusterStartError(
            f"fewer than {count} ports between {_PORTS.start} and {_PORTS.stop - 1} are free: stop a process or cluster"
        )
    return free


def wait_until_free(ports: Iterable[int]) -> None:
    """Wait until all ports are free, because the system may release the ports of a dead process late.

    Raises PortTakenError.
    """
    deadline = time.monotonic() + _FREE_WITHIN_SECONDS
    for port in ports:
        while not is_port_free(port):
            if time.monotonic() > deadline:
                raise PortTakenError(f"another process has taken port {port}: stop that process and try again")
            time.sleep(_POLL_SECONDS)


def _ports_of_clusters(clusters: Path) -> set[int]:
    directories = clusters.iterdir() if clusters.is_dir() else ()
    records = (read_record(directory) for directory in directories)
    return {port for record in records if record for port in record.ports.values()}


def _outgoing_ports() -> range:
    """Return the ports that this system uses for outgoing connections. Empty if the system does not publish them."""
    try:
        first, last = map(int, _OUTGOING_RANGE_FILE.read_text().split())
    except (OSError, ValueError):
        return range(0)
    return range(first, last + 1)


def _without(ports: Collection[int], excluded: Collection[int]) -> list[int]:
    """Return the ports that are not excluded, or all ports if none would remain."""
    return [port for port in ports if port not in excluded] or list(ports)
