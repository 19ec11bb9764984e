"""A gateway without a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.gateway.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A gateway that lets everybody in, over nothing."""
    found = World()
    async with found.client:
        yield found
    found.leave()
