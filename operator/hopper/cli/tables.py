"""Tables on standard output."""

from collections.abc import Sequence

import typer


def print_table(rows: Sequence[Sequence[str]], gap: str) -> None:
    """Print rows with aligned columns. The first row is the header, and `gap` stands between columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo(gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
