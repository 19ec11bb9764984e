"""For all tests."""

from __future__ import annotations

import asyncio

# looptime asks for the current event loop before each test. Where none was ever set, asyncio makes one for the occasion
# that nobody closes: an error of some later test, as warnings are errors here.
asyncio.set_event_loop(None)
