"""How verbs that work on clusters of this machine fail, or are ended: with one line that says what to do."""

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

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def reported(interrupted: str) -> Iterator[Progress]:
    """Progress for the work inside; its errors as one line on standard error and exit code 1.

    Who is ended (Ctrl-C, SIGTERM, a closed terminal) cleans up first, and then says `interrupted`.
    """
    from hopper.local.errors import LocalError
    from hopper.local.terminal import for_terminal

    try:
        with _endings_as_interrupts():
            yield for_terminal()
    except LocalError as error:
        _fail(str(error))
    except OSError as error:
        _fail(_explained(error))
    except KeyboardInterrupt as interrupt:
        typer.echo(interrupted, err=True)
        raise typer.Exit(128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)) from None


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)


def _explained(error: OSError) -> str:
    """What the system says, and, where it is about the cache, how to use another one."""
    from hopper.local.paths import cache_dir

    cache = cache_dir()
    path = Path(error.filename or cache)
    if not (path.is_relative_to(cache) or cache.is_relative_to(path)):
        return str(error)
    advice = f"Set HOPPER_CACHE (now {cache}) to a directory that you may write to and that has room"
    return f"{path}: {error.strerror}. {advice}"


@contextmanager
def _endings_as_interrupts() -> Iterator[None]:
    """Let signals that would end this process at once raise KeyboardInterrupt; those ignored (nohup) stay so."""

    def interrupt(number: int, _: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt(number)

    changed = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
