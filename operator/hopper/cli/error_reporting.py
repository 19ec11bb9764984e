"""Error reporting of the verbs that use clusters on this machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from hopper.local.progress import Progress

_TERMINATION_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def report_local_errors(interrupted: str) -> Iterator[Progress]:
    """Yield a progress reporter. Print an error as one line on standard error, and exit with code 1.

    On Ctrl-C, SIGTERM or a closed terminal, let the work clean up, then print the message `interrupted`.
    """
    from hopper.local.errors import LocalError
    from hopper.local.live_progress import progress_for

    try:
        with _termination_as_interrupt():
            yield progress_for()
    except LocalError as error:
        _fail(str(error))
    except OSError as error:
        _fail(_os_error_message(error))
    except KeyboardInterrupt as interrupt:
        typer.echo(interrupted, err=True)
        raise typer.Exit(128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)) from None


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)


def _os_error_message(error: OSError) -> str:
    """Return the message of the system. For a path in the cache, add how to use another cache directory."""
    from hopper.local.cluster_files import cache_dir

    cache = cache_dir()
    path = Path(error.filename or cache)
    if not (path.is_relative_to(cache) or cache.is_relative_to(path)):
        return str(error)
    return f"{path}: {error.strerror}: set HOPPER_CACHE (now {cache}) to a writable directory with enough free space"


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt for termination signals, except for signals that are ignored (nohup)."""

    def interrupt(number: int, _: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt(number)

    changed = [number for number in _TERMINATION_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
