"""The container runtime of an engine of ours: runc, or runc behind a wrapper where the machine lacks a capability."""

from __future__ import annotations

import shlex
import sys
from importlib import resources
from pathlib import Path

from hopper.local.kind.docker import program

_CAP_SYS_RESOURCE = 24
_STATUS = Path("/proc/self/status")


def lacks_sys_resource(status: str) -> bool:
    """Whether a process with this /proc/<pid>/status can never have CAP_SYS_RESOURCE."""
    sets = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return not int(sets["CapBnd"], 16) >> _CAP_SYS_RESOURCE & 1


def dockerd_arguments(directory: Path) -> list[str]:
    """What to tell dockerd about its runtime; writes the wrapper into `directory` where one is needed."""
    if not lacks_sys_resource(_STATUS.read_text(encoding="utf-8")):
        return []
    wrapper = write_wrapper(directory, program("runc"))
    return [f"--add-runtime=modest={wrapper}", "--default-runtime=modest"]


def write_wrapper(directory: Path, runc: str) -> Path:
    """Write a runtime that docker can call as runc."""
    code = directory / "runc_wrapper.py"
    code.write_bytes((resources.files("hopper.local.kind") / "runc_wrapper.py").read_bytes())
    wrapper = directory / "runc"
    # Not the link in a virtual environment, which may go before the engine does.
    python = str(Path(sys.executable).resolve())
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join([python, "-IS", str(code), runc])} "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    return wrapper
