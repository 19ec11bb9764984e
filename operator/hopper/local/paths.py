"""Where things lie: everything Hopper keeps on a machine is below one cache directory."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hopper.local.errors import InvalidNameError

DEFAULT_NAME = "hopper"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME_LIMIT = 40


def cache_dir() -> Path:
    """`HOPPER_CACHE`, else `$XDG_CACHE_HOME/hopper`, else `~/.cache/hopper`. Absolute, and perhaps not there yet."""
    if own := os.environ.get("HOPPER_CACHE"):
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(base).expanduser() / "hopper").absolute()


def clusters_dir(cache: Path) -> Path:
    """The parent of all cluster directories. The last part of the path is kwokctl's choice."""
    return cache / "clusters"


def valid_name(name: str) -> str:
    """Return `name` if it can name a cluster (it becomes a directory and a kubeconfig context).

    Raises InvalidNameError.
    """
    if _NAME.fullmatch(name) and len(name) <= _NAME_LIMIT:
        return name
    raise InvalidNameError(
        f"{name!r} cannot name a cluster: use at most {_NAME_LIMIT} lower-case letters, digits and '-', "
        "with a letter or digit at both ends, such as 'hopper' or 'test-1'"
    )
