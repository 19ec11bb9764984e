"""A process: the namespaces it serves, its exit code, and its last log line."""

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


class FakeRunnable:
    """Runnable that runs until it is stopped, or fails at once."""

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
    """A cluster that accepts all credentials, with a kubeconfig that names a namespace."""
    connection = SimpleNamespace(namespace="mine", configuration=SimpleNamespace(host="https://example.com"))

    async def connect() -> Any:
        return connection

    async def check(_: Connection) -> None:
        return None

    monkeypatch.setattr("hopper.process.process.connect", connect)
    monkeypatch.setattr("hopper.process.process.check_credentials", check)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])


def run(runnable: FakeRunnable, **options: Any) -> tuple[int, tuple[str, ...]]:
    """Return the exit code and the namespaces that were served."""
    served = []

    def factory(_: Connection, namespaces: tuple[str, ...]) -> FakeRunnable:
        served.append(namespaces)
        return runnable

    defaults: dict[str, Any] = {"namespaces": (), "all_namespaces": False, "verbose": False, "json_logs": False}
    process = Process("gateway", **defaults | options)
    process.set_up()
    code = process.run(factory, port=80, port_option="--port")
    return code, served[0] if served else ()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_process_with_exit_code_0(cluster: None, number: signal.Signals) -> None:
    runnable = FakeRunnable(meanwhile=lambda: os.kill(os.getpid(), number))
    assert run(runnable)[0] == 0


@pytest.mark.parametrize(
    ("options", "served"),
    [({}, ("mine",)), ({"namespaces": ["a", "b"]}, ("a", "b")), ({"all_namespaces": True}, ())],
)
def test_the_options_select_the_namespaces(cluster: None, options: dict[str, Any], served: tuple[str, ...]) -> None:
    runnable = FakeRunnable()
    runnable.stop()
    assert run(runnable, **options) == (0, served)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (REFUSED, "not allowed: bind the rights; exiting"),
        (ExceptionGroup("all", [ExceptionGroup("some", [REFUSED])]), "not allowed: bind the rights; exiting"),
        (TAKEN, "port 80 is in use; choose another one with --port"),
        (ExceptionGroup("all", [TAKEN]), "port 80 is in use; choose another one with --port"),
        (NoClusterError("no cluster: set KUBECONFIG"), "no cluster: set KUBECONFIG"),
    ],
)
def test_an_expected_failure_is_logged_in_one_line(
    cluster: None, capsys: pytest.CaptureFixture[str], failure: Exception, message: str
) -> None:
    assert run(FakeRunnable(failure))[0] == 1
    _, line = capsys.readouterr().err.splitlines()  # the first line names the namespaces
    assert line.endswith(message)


UNKNOWN = ValueError("unexpected")


@pytest.mark.parametrize("failure", [OSError("disk"), UNKNOWN, ExceptionGroup("all", [UNKNOWN])])
def test_an_unexpected_failure_is_logged_with_its_traceback(
    cluster: None, capsys: pytest.CaptureFixture[str], failure: Exception
) -> None:
    assert run(FakeRunnable(failure))[0] == 1
    log = capsys.readouterr().err
    assert "the gateway failed" in log
    assert "Traceback" in log


def test_an_expected_failure_is_logged_with_its_traceback_if_verbose(
    cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(FakeRunnable(REFUSED), verbose=True)[0] == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_before_serving_has_exit_code_130(cluster: None) -> None:
    assert run(FakeRunnable(KeyboardInterrupt()))[0] == 130
