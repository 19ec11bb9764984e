"""The report of an import: a table on a terminal, and plain lines on any other stream."""

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
    """Write the findings in their order. Equal findings of several keys or services are merged."""
    findings = _merge_equal(findings)
    if not stream.isatty():
        stream.writelines(f"{printable_text(str(finding))}\n" for finding in findings)
        return
    from rich.console import Console

    console = Console(file=stream)
    for file, group in groupby(findings, key=lambda finding: finding.file):
        _show_table(printable_text(file), list(group), console)


def conversion_summary(services: int, findings: Sequence[Finding]) -> str:
    """Return one line with the number of converted services and of findings by outcome."""
    counts = Counter(finding.outcome for finding in findings)
    parts = [f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome]]
    noun = "service" if services == 1 else "services"
    return f"{services} {noun} converted" + (f"; {', '.join(parts)}" if parts else "")


def printable_text(text: str) -> str:
    """Return the text without control characters, because names come from untrusted files."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _merge_equal(findings: Iterable[Finding]) -> list[Finding]:
    """Merge the keys of equal findings, then the services of equal findings."""
    keys: dict[Finding, list[str]] = {}
    for finding in findings:
        keys.setdefault(replace(finding, key=""), []).append(finding.key)
    services: dict[Finding, list[str]] = {}
    for finding, merged_keys in keys.items():
        anonymous = replace(finding, service=finding.service and "", key=", ".join(filter(None, merged_keys)))
        services.setdefault(anonymous, []).append(finding.service or "")
    return [replace(finding, service=", ".join(names) or None) for finding, names in services.items()]


def _show_table(file: str, findings: Sequence[Finding], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(file, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column, share in (("Service", 1), ("Key", 1), ("", None), ("What", 2), ("What to do", 3)):
        table.add_column(column, ratio=share, overflow="fold")
    previous = None
    for finding in findings:
        service = finding.service or ""
        table.add_row(
            Text(printable_text(service) if service != previous else ""),
            Text(printable_text(finding.key)),
            Text(finding.outcome.value, style=_STYLES[finding.outcome]),
            Text(printable_text(finding.message)),
            Text(printable_text(finding.advice)),
        )
        previous = service
    console.print(table)
