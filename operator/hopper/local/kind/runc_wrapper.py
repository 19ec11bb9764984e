"""runc, asked for no more than this machine may give.

Where the machine's own bounding set lacks CAP_SYS_RESOURCE, runc cannot start a privileged container ("unable to apply
caps"), raise a limit, or make a process less likely to be killed for its memory. This program takes these wishes out of
what it is given, and becomes runc. It is copied beside the engine and runs alone: standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

LACKING = "CAP_SYS_RESOURCE"


def modest_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """The OCI configuration of a container, without the wishes that cannot be met."""
    return spec | {"process": modest_process(spec["process"])} if "process" in spec else spec


def modest_process(process: dict[str, Any]) -> dict[str, Any]:
    """The same for one process."""
    kept = {key: value for key, value in process.items() if key != "rlimits"}
    if kept.get("oomScoreAdj", 0) < 0:
        del kept["oomScoreAdj"]
    if sets := kept.get("capabilities"):
        kept["capabilities"] = {kind: [name for name in names if name != LACKING] for kind, names in sets.items()}
    return kept


def described_in(arguments: list[str]) -> tuple[Path, bool] | None:
    """The file that describes what runc is asked to start, and whether it describes a process only."""
    if {"create", "run"} & set(arguments):
        return Path(_value(arguments, "--bundle", "-b") or ".") / "config.json", False
    if "exec" in arguments and (file := _value(arguments, "--process", "-p")):
        return Path(file), True
    return None


def _value(arguments: list[str], *names: str) -> str | None:
    for position, argument in enumerate(arguments):
        name, given, value = argument.partition("=")
        if name in names:
            return value if given else arguments[position + 1]
    return None


def main(runc: str, arguments: list[str]) -> None:
    """Rewrite the description, and become runc."""
    if found := described_in(arguments):
        file, process_only = found
        described = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps((modest_process if process_only else modest_spec)(described)), encoding="utf-8")
    os.execv(runc, [runc, *arguments])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
