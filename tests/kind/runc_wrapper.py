"""A wrapper around runc for machines whose bounding set lacks CAP_SYS_RESOURCE.

On such a machine, runc cannot start a privileged container ("unable to apply caps"), raise a limit or lower an OOM
score. The wrapper removes these requests from the OCI configuration and executes runc. A copy of this file runs beside
the engine, so it uses the standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

MISSING_CAPABILITY = "CAP_SYS_RESOURCE"


def restricted_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the OCI configuration of a container without the requests that this machine cannot meet."""
    return spec | {"process": restricted_process(spec["process"])} if "process" in spec else spec


def restricted_process(process: dict[str, Any]) -> dict[str, Any]:
    """Return the OCI configuration of a process without the requests that this machine cannot meet."""
    process = {key: value for key, value in process.items() if key != "rlimits"}
    if process.get("oomScoreAdj", 0) < 0:
        del process["oomScoreAdj"]
    if sets := process.get("capabilities"):
        process["capabilities"] = {
            kind: [name for name in names if name != MISSING_CAPABILITY] for kind, names in sets.items()
        }
    return process


def configuration_file(arguments: list[str]) -> tuple[Path, bool] | None:
    """Return the file that configures the new process, and whether it describes a process only (`runc exec`).

    Return None if the arguments of runc do not start a process from a file.
    """
    if {"create", "run"} & set(arguments):
        return Path(_option(arguments, "--bundle", "-b") or ".") / "config.json", False
    if "exec" in arguments and (file := _option(arguments, "--process", "-p")):
        return Path(file), True
    return None


def _option(arguments: list[str], *names: str) -> str | None:
    for position, argument in enumerate(arguments):
        name, separator, value = argument.partition("=")
        if name in names:
            return value if separator else arguments[position + 1]
    return None


def main(runc: str, arguments: list[str]) -> None:
    """Rewrite the configuration and execute runc."""
    if target := configuration_file(arguments):
        file, is_process = target
        configuration = json.loads(file.read_text(encoding="utf-8"))
        restricted = (restricted_process if is_process else restricted_spec)(configuration)
        file.write_text(json.dumps(restricted), encoding="utf-8")
    os.execv(runc, [runc, *arguments])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
