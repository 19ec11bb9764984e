"""Fixtures for tests of the gateway without a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.gateway.in_memory_gateway import InMemoryGateway


@pytest.fixture
async def gateway() -> AsyncIterator[InMemoryGateway]:
    """A gateway without objects and without authentication."""
    in_memory_gateway = InMemoryGateway()
    async with in_memory_gateway.client:
        yield in_memory_gateway
    in_memory_gateway.release_app()
