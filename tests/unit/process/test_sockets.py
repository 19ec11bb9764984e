"""Listening sockets: the addresses on which they accept connections."""

from __future__ import annotations

import socket

import pytest

from hopper.process.system import ALL_ADDRESSES, open_listener


def accepts(host: str, listener: socket.socket) -> bool:
    try:
        socket.create_connection((host, listener.getsockname()[1]), timeout=5).close()
    except OSError:
        return False
    return True


IPV6 = socket.has_dualstack_ipv6()
ACCEPTED = [(ALL_ADDRESSES, [True, IPV6]), ("127.0.0.1", [True, False]), *([("::1", [False, True])] if IPV6 else [])]


@pytest.mark.parametrize(("host", "accepted"), ACCEPTED)
def test_a_listener_accepts_connections_to_its_address(host: str, accepted: list[bool]) -> None:
    with open_listener(host, 0) as listener:
        assert [accepts(address, listener) for address in ("127.0.0.1", "::1")] == accepted


def test_all_addresses_are_ipv4_addresses_if_the_kernel_has_no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.has_dualstack_ipv6", lambda: False)
    with open_listener(ALL_ADDRESSES, 0) as listener:
        assert listener.family == socket.AF_INET
        assert accepts("127.0.0.1", listener)


@pytest.mark.parametrize("host", [ALL_ADDRESSES, "127.0.0.1"])
def test_a_port_in_use_is_an_error(host: str) -> None:
    with open_listener(host, 0) as listener, pytest.raises(OSError, match="in use"):
        open_listener(host, listener.getsockname()[1])
