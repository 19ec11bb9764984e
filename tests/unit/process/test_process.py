"""A process that watches: how it ends, and what it says then."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from hopper.adapters.connection import Connection, NoClusterError
from hopper.ports import FatalError
from hopper.process.process import Process

REFUSED = FatalError("not allowed: bind the rights")
TAKEN = OSError(errno.EADDRINUSE, "in use")


class Service:
    """Serves until it is stopped, or fails at once."""

    def __init__(self, failure: BaseException | None = None, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._failure = failure
        self._meanwhile = meanwhile
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        if self._failure:
            raise self._failure
        self._meanwhile()
        await self._stopping.wait()

    def stop(self) -> None:
        self._stopping.set()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that takes all credentials; its kubeconfig names a namespace."""
    connection = SimpleNamespace(namespace="mine", configuration=SimpleNamespace(host="https://there"))

    async def connect() -> Any:
        return connection

    async def check(_: Connection) -> None:
        return None

    monkeypatch.setattr("hopper.process.process.connect", connect)
    monkeypatch.setattr("hopper.process.process.check_credentials", check)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])


def run(service: Service, **options: Any) -> tuple[int, tuple[str, ...]]:
    """Return the exit code, and the namespaces that were served."""
    served = []

    def make(_: Connection, namespaces: tuple[str, ...]) -> Service:
        served.append(namespaces)
        return service

    given: dict[str, Any] = {"namespaces": (), "all_namespaces": False, "verbose": False, "json_logs": False}
    process = Process("gateway", **given | options)
    process.set_up()
    code = process.run(make, port=80, port_option="--port")
    return code, served[0] if served else ()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_peace(cluster: None, number: signal.Signals) -> None:
    service = Service(meanwhile=lambda: os.kill(os.getpid(), number))
    assert run(service)[0] == 0


@pytest.mark.parametrize(
    ("options", "served"),
    [({}, ("mine",)), ({"namespaces": ["a", "b"]}, ("a", "b")), ({"all_namespaces": True}, ())],
)
def test_whom_it_serves(cluster: None, options: dict[str, Any], served: tuple[str, ...]) -> None:
    service = Service()
    service.stop()
    assert run(service, **options) == (0, served)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (REFUSED, "not allowed: bind the rights; exiting"),
        (ExceptionGroup("all", [ExceptionGroup("some", [REFUSED])]), "not allowed: bind the rights; exiting"),
        (TAKEN, "port 80 is in use; choose another one with --port"),
        (ExceptionGroup("all", [TAKEN]), "port 80 is in use; choose another one with --port"),
        (NoClusterError("no cluster: set KUBECONFIG"), "no cluster: set KUBECONFIG"),
    ],
)
def test_it_says_in_one_line_why_it_gives_up(
    cluster: None, capsys: pytest.CaptureFixture[str], failure: Exception, said: str
) -> None:
    assert run(Service(failure))[0] == 1
    _, line = capsys.readouterr().err.splitlines()  # the first one tells whom it serves
    assert line.endswith(said)


UNKNOWN = ValueError("nobody thought of this")


@pytest.mark.parametrize("failure", [OSError("disk"), UNKNOWN, ExceptionGroup("all", [UNKNOWN])])
def test_what_nobody_thought_of_is_told_in_full(
    cluster: None, capsys: pytest.CaptureFixture[str], failure: Exception
) -> None:
    assert run(Service(failure))[0] == 1
    said = capsys.readouterr().err
    assert "the gateway failed" in said
    assert "Traceback" in said


def test_where_it_came_from_is_told_to_those_who_want_to_know(
    cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Service(REFUSED), verbose=True)[0] == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_before_it_serves(cluster: None) -> None:
    assert run(Service(KeyboardInterrupt()))[0] == 130
