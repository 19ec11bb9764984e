"""Where things lie, and what a cluster may be called."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopper.local.errors import InvalidNameError
from hopper.local.paths import cache_dir, valid_name


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOPPER_CACHE", "~/own")
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("HOPPER_CACHE")
    assert cache_dir() == tmp_path / "xdg" / "hopper"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == tmp_path / ".cache" / "hopper"


@pytest.mark.parametrize("name", ["a", "hopper", "test-1", "0x", "a" * 40])
def test_good_names(name: str) -> None:
    assert valid_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "../a", "a/b", "a b", "a\n", "ä", "a" * 41])
def test_bad_names_are_refused_with_the_rule(name: str) -> None:
    with pytest.raises(InvalidNameError, match="lower-case letters, digits and '-'"):
        valid_name(name)
