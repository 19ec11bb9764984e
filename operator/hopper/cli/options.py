"""Options that several verbs share."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import typer

_PREFIX_LIMIT = 20
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class LogFormat(StrEnum):
    """Values of --log-format."""

    TEXT = "text"
    JSON = "json"


def _check_namespace_names(names: list[str] | None) -> list[str] | None:
    for name in names or ():
        if not _NAMESPACE.fullmatch(name):
            raise typer.BadParameter(f"invalid namespace {name!r}: use at most 63 lower-case letters, digits and '-'")
    return names


def _check_prefix(prefix: str) -> str:
    if len(prefix) > _PREFIX_LIMIT or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", prefix):
        raise typer.BadParameter(
            f"use at most {_PREFIX_LIMIT} lower-case letters, digits and '-', starting with a letter"
        )
    return prefix


Namespaces = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace",
        "-n",
        callback=_check_namespace_names,
        help="Namespace to serve. Repeat for more. Default: the namespace of the current context.",
    ),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Serve all namespaces.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log at debug level, including kopf.")]
Format = Annotated[LogFormat, typer.Option("--log-format", help="Format of log lines.")]
Prefix = Annotated[
    str,
    typer.Option(
        envvar="HOPPER_PREFIX",
        callback=_check_prefix,
        help="Prefix of the names of owned objects. All commands must use the same prefix. "
        "Existing instances keep their names.",
    ),
]


def check_namespaces(namespaces: list[str] | None, all_namespaces: bool) -> None:
    """Raise `typer.BadParameter` if both options are set."""
    if namespaces and all_namespaces:
        raise typer.BadParameter("--namespace and --all-namespaces exclude each other: omit one of them")
