"""Shows what an import could not carry over: a table for people, lines for everything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, TextIO

from hopper.compose.report import Finding, Outcome

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {Outcome.DROPPED: "yellow", Outcome.CHANGED: "cyan", Outcome.NOTE: "dim"}


def show_findings(findings: Iterable[Finding], stream: TextIO) -> None:
    """Write the findings, in their order; what is said of several keys or services alike is said once."""
    findings = _told_once(findings)
    if not stream.isatty():
        stream.writelines(f"{printable(str(finding))}\n" for finding in findings)
        return
    from rich.console import Console

    console = Console(file=stream)
    for file, group in groupby(findings, key=lambda finding: finding.file):
        _show_file(printable(file), list(group), console)


def summary(services: int, findings: Sequence[Finding]) -> str:
    """Say how much was converted, in one line."""
    counts = Counter(finding.outcome for finding in findings)
    parts = [f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome]]
    noun = "service" if services == 1 else "services"
    return f"{services} {noun} converted" + (f"; {', '.join(parts)}" if parts else "")


def printable(text: str) -> str:
    """Take out what could steer a terminal: names come from files that strangers wrote."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _told_once(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with the keys, and then the services, of which the same is said side by side."""
    keys: dict[Finding, list[str]] = {}
    for one in findings:
        keys.setdefault(replace(one, key=""), []).append(one.key)
    services: dict[Finding, list[str]] = {}
    for one, found in keys.items():
        likeness = replace(one, service=one.service and "", key=", ".join(filter(None, found)))
        services.setdefault(likeness, []).append(one.service or "")
    return [replace(one, service=", ".join(found) or None) for one, found in services.items()]


def _show_file(file: str, findings: Sequence[Finding], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(file, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column, share in (("Service", 1), ("Key", 1), ("", None), ("What", 2), ("What to do", 3)):
        table.add_column(column, ratio=share, overflow="fold")
    shown = None
    for finding in findings:
        service = finding.service or ""
        table.add_row(
            Text(printable(service) if service != shown else ""),
            Text(printable(finding.key)),
            Text(finding.outcome.value, style=_STYLES[finding.outcome]),
            Text(printable(finding.message)),
            Text(printable(finding.advice)),
        )
        shown = service
    console.print(table)
