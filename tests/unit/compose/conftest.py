from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.compose.converting import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty directory for a compose file."""
    directory = tmp_path / "shop"
    directory.mkdir()
    return Project(directory)
