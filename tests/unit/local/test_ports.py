"""Ports are drawn where nobody is in the way, and nobody's who is only away for a moment."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from hopper.local import ports
from hopper.local.errors import ClusterStartError, PortTakenError
from hopper.local.record import Record


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> range:
    """The only ports there are to draw from."""
    drawn = ports.free_ports(1)[0]
    few = range(drawn, drawn + 6)
    monkeypatch.setattr(ports, "_PORTS", few)
    return few


def test_free_ports_are_different_and_free(tmp_path: Path) -> None:
    chosen = ports.free_ports(6, tmp_path)
    assert len(set(chosen)) == 6
    assert all(ports.port_is_free(port) for port in chosen)


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not ports.port_is_free(taken.getsockname()[1])


def test_the_ports_of_another_cluster_are_kept_for_it_while_it_is_away(few: range, tmp_path: Path) -> None:
    other = tmp_path / "clusters" / "other"
    other.mkdir(parents=True)
    (tmp_path / "clusters" / "half-made").mkdir()
    Record("local", "1", ports={"etcdPort": few[0], "kubeApiserverPort": few[1]}).write(other)
    for _ in range(20):
        assert ports.free_ports(1, tmp_path)[0] in few[2:]
    with pytest.raises(ClusterStartError, match=f"no 5 free ports between {few[0]} and {few[-1]}: end something"):
        ports.free_ports(5, tmp_path)


def test_ports_of_outgoing_connections_are_not_drawn(
    few: range, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path / "ip_local_port_range"
    monkeypatch.setattr(ports, "_OUTGOING", setting)
    setting.write_text(f"{few[1]}\t60999\n")
    assert {ports.free_ports(1, tmp_path)[0] for _ in range(20)} == {few[0]}
    setting.write_text(f"1024\t{few[-1]}\n")
    assert ports.free_ports(1, tmp_path)[0] in few, "better such a port than none"
    setting.unlink()
    assert ports.free_ports(1, tmp_path)[0] in few


def test_a_port_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        closing = threading.Timer(0.3, holder.close)
        closing.start()
        ports.await_free([port])
        assert ports.port_is_free(port)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        monkeypatch.setattr(ports, "_FREE_WITHIN", 0.2)
        port = holder.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"another process has taken port {port}: end it and try again"):
            ports.await_free([port])
