from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.compose.compose_directory import ComposeDirectory


@pytest.fixture
def project(tmp_path: Path) -> ComposeDirectory:
    """Return an empty project directory called shop."""
    directory = tmp_path / "shop"
    directory.mkdir()
    return ComposeDirectory(directory)
