"""Set-up for all tests."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

import pytest

# looptime asks for the current event loop before each test. If none was ever set, asyncio creates one that is never
# closed. A later test would then fail, because warnings are errors.
asyncio.set_event_loop(None)

# A shell that runs the tests in the background, or under nohup, lets them inherit ignored signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests that share an id, because pytest-xdist would run only one of them."""
    shared = [name for name, count in Counter(item.nodeid for item in items).items() if count > 1]
    if shared:
        raise pytest.UsageError(f"these ids stand for more than one test: {', '.join(shared)}")
