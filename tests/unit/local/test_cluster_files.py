"""The cache directory and cluster names."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopper.local.cluster_files import cache_dir, checked_cluster_name
from hopper.local.errors import InvalidNameError


def test_the_environment_selects_the_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOPPER_CACHE", "~/own")
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("HOPPER_CACHE")
    assert cache_dir() == tmp_path / "xdg" / "hopper"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == tmp_path / ".cache" / "hopper"


@pytest.mark.parametrize("name", ["a", "hopper", "test-1", "0x", "a" * 40])
def test_valid_names(name: str) -> None:
    assert checked_cluster_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "../a", "a/b", "a b", "a\n", "ä", "a" * 41])
def test_an_invalid_name_is_rejected_with_the_rule(name: str) -> None:
    with pytest.raises(InvalidNameError, match="lower-case letters, digits and '-'"):
        checked_cluster_name(name)
