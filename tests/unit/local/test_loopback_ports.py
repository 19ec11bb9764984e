"""Free loopback ports, which exclude those of stopped components that may restart."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from hopper.local import loopback_ports
from hopper.local.cluster_files import ClusterRecord
from hopper.local.errors import ClusterStartError, PortTakenError


@pytest.fixture
def candidates(monkeypatch: pytest.MonkeyPatch) -> range:
    """Six ports, which are the only candidates."""
    first = loopback_ports.free_ports(1)[0]
    candidates = range(first, first + 6)
    monkeypatch.setattr(loopback_ports, "_PORTS", candidates)
    return candidates


def test_free_ports_are_different_and_free(tmp_path: Path) -> None:
    chosen = loopback_ports.free_ports(6, tmp_path)
    assert len(set(chosen)) == 6
    assert all(loopback_ports.is_port_free(port) for port in chosen)


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not loopback_ports.is_port_free(taken.getsockname()[1])


def test_the_ports_of_another_cluster_stay_reserved_while_it_is_stopped(candidates: range, tmp_path: Path) -> None:
    other = tmp_path / "clusters" / "other"
    other.mkdir(parents=True)
    (tmp_path / "clusters" / "without-record").mkdir()
    ClusterRecord("local", "1", ports={"etcdPort": candidates[0], "kubeApiserverPort": candidates[1]}).write(other)
    for _ in range(20):
        assert loopback_ports.free_ports(1, tmp_path)[0] in candidates[2:]
    with pytest.raises(
        ClusterStartError, match=f"fewer than 5 ports between {candidates[0]} and {candidates[-1]} are free"
    ):
        loopback_ports.free_ports(5, tmp_path)


def test_ports_for_outgoing_connections_are_excluded(
    candidates: range, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path / "ip_local_port_range"
    monkeypatch.setattr(loopback_ports, "_OUTGOING_RANGE_FILE", setting)
    setting.write_text(f"{candidates[1]}\t60999\n")
    assert {loopback_ports.free_ports(1, tmp_path)[0] for _ in range(20)} == {candidates[0]}
    setting.write_text(f"1024\t{candidates[-1]}\n")
    assert loopback_ports.free_ports(1, tmp_path)[0] in candidates, "used if no other port is left"
    setting.unlink()
    assert loopback_ports.free_ports(1, tmp_path)[0] in candidates


def test_waiting_for_a_port_ends_when_it_is_free_or_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        closing = threading.Timer(0.3, holder.close)
        closing.start()
        loopback_ports.wait_until_free([port])
        assert loopback_ports.is_port_free(port)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        monkeypatch.setattr(loopback_ports, "_FREE_WITHIN_SECONDS", 0.2)
        port = holder.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"another process has taken port {port}: stop that process"):
            loopback_ports.wait_until_free([port])
