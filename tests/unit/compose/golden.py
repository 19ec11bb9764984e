"""Whole outputs, kept beside the tests: `python -m tests.unit.compose.golden` writes them anew."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from hopper.cli.findings import show_findings, summary
from hopper.cli.yaml_output import documents
from hopper.compose.convert import Conversion, convert

FIXTURES = Path(__file__).parent / "fixtures"
GOLDEN = Path(__file__).parent / "golden"
# Directories stand for what cannot be one file: `include`, `extends`, override files.
SOURCES = sorted([*(path.name for path in FIXTURES.glob("*.yml")), "included", "overridden"])
KEPT = ("wordpress.yml", "keycloak.yml", "long-syntax.yml", "swarm-vote.yml", "traefik-whoami.yml", "dev-web.yml",
        "redis-secret.yml", "mesh.yml", "included", "overridden")  # fmt: skip


def converted(source: str, stack: str | None = "demo") -> Conversion:
    """Convert a fixture, with paths as someone in its directory writes them."""
    with contextlib.chdir(FIXTURES):
        return convert([Path(source)], stack=stack)


def output(source: str) -> Iterator[str]:
    """Yield what goes to standard error, as comments, and what goes to standard output."""
    conversion = converted(source)
    report = StringIO()
    show_findings(conversion.findings, report)
    report.write(summary(len(conversion.services), conversion.findings))
    yield "".join(f"# {line}\n" for line in report.getvalue().splitlines())
    yield from documents(conversion.manifests())


def path_of(source: str) -> Path:
    return GOLDEN / f"{Path(source).stem}.yaml"


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for source in KEPT:
        path_of(source).write_text("".join(output(source)), encoding="utf-8")


if __name__ == "__main__":
    main()
