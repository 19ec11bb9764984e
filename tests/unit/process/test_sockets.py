"""Ports to listen on: who is heard there."""

from __future__ import annotations

import socket

import pytest

from hopper.process.system import ALL_ADDRESSES, open_listener


def is_heard(host: str, on: socket.socket) -> bool:
    try:
        socket.create_connection((host, on.getsockname()[1]), timeout=5).close()
    except OSError:
        return False
    return True


IPV6 = socket.has_dualstack_ipv6()
HEARD = [(ALL_ADDRESSES, [True, IPV6]), ("127.0.0.1", [True, False]), *([("::1", [False, True])] if IPV6 else [])]


@pytest.mark.parametrize(("host", "heard"), HEARD)
def test_who_is_heard(host: str, heard: list[bool]) -> None:
    with open_listener(host, 0) as found:
        assert [is_heard(it, found) for it in ("127.0.0.1", "::1")] == heard


def test_all_addresses_where_the_kernel_has_no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.has_dualstack_ipv6", lambda: False)
    with open_listener(ALL_ADDRESSES, 0) as found:
        assert found.family == socket.AF_INET
        assert is_heard("127.0.0.1", found)


@pytest.mark.parametrize("host", [ALL_ADDRESSES, "127.0.0.1"])
def test_a_port_that_is_taken(host: str) -> None:
    with open_listener(host, 0) as found, pytest.raises(OSError, match="in use"):
        open_listener(host, found.getsockname()[1])
