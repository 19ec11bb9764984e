"""For all tests."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

import pytest

# looptime asks for the current event loop before each test. Where none was ever set, asyncio makes one for the occasion
# that nobody closes: an error of some later test, as warnings are errors here.
asyncio.set_event_loop(None)

# Who runs the tests in the background, or under nohup, hands on that these are to be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests that share an id: of those, pytest-xdist would run a single one."""
    shared = [name for name, count in Counter(item.nodeid for item in items).items() if count > 1]
    if shared:
        raise pytest.UsageError(f"these ids stand for more than one test: {', '.join(shared)}")
