"""What Hopper writes down about a cluster it started, in the cluster's own directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

_FILE = "hopper.json"


@dataclass(frozen=True)
class Record:
    """Written before the first process starts, and again, `complete`, when the cluster answers."""

    provider: str
    version: str
    server: str = ""
    complete: bool = False
    # kwokctl option → port, see kwokctl.PORTS.
    ports: Mapping[str, int] = field(default_factory=dict)
    binaries: Mapping[str, str] = field(default_factory=dict)
    # What the user asked for, to notice when a second `up` asks for something else.
    arguments: Mapping[str, object] = field(default_factory=dict)

    def completed(self) -> Record:
        """The same, once the cluster has come up."""
        return replace(self, complete=True)

    def write(self, directory: Path) -> None:
        """Replace the record in the directory, in one step."""
        part = directory / f".{_FILE}.part"
        part.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        part.replace(directory / _FILE)


def read(directory: Path) -> Record | None:
    """The record in the directory; None if there is none, or none that can be read."""
    try:
        return Record(**json.loads((directory / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
