"""Options that several verbs have in common, most of them those for running a process of Hopper."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import typer

_LONGEST_PREFIX = 20
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


def _names_of_namespaces(names: list[str] | None) -> list[str] | None:
    for name in names or ():
        if not _NAMESPACE.fullmatch(name):
            raise typer.BadParameter(f"{name!r} is no name of a namespace: at most 63 of a-z, 0-9 and -")
    return names


Namespaces = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace",
        "-n",
        callback=_names_of_namespaces,
        help="Serve this namespace; repeat for more. Default: the current one.",
    ),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Serve all namespaces.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every step, kopf's too.")]
Format = Annotated[LogFormat, typer.Option("--log-format", help="How log lines look.")]


def check_namespaces(namespaces: list[str] | None, all_namespaces: bool) -> None:
    """Raises `typer.BadParameter` where both are given."""
    if namespaces and all_namespaces:
        raise typer.BadParameter("--namespace and --all-namespaces exclude each other; drop one of them")


def _prefix_or_refused(prefix: str) -> str:
    """Return what the names of objects may begin with. Raises `typer.BadParameter` for what they may not."""
    if len(prefix) > _LONGEST_PREFIX or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", prefix):
        raise typer.BadParameter(f"use up to {_LONGEST_PREFIX} lower-case letters, digits and -, a letter first")
    return prefix


Prefix = Annotated[
    str,
    typer.Option(
        envvar="HOPPER_PREFIX",
        callback=_prefix_or_refused,
        help="What the names of the objects of instances begin with: the same for all of Hopper. "
        "Instances keep the names that they have.",
    ),
]
