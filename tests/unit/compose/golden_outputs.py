"""Golden files with whole outputs. `python -m tests.unit.compose.golden_outputs` updates them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from hopper.cli.import_report import conversion_summary, show_findings
from hopper.cli.manifest_yaml import yaml_documents
from hopper.compose.convert import Conversion, convert

FIXTURES = Path(__file__).parent / "fixtures"
GOLDEN = Path(__file__).parent / "golden"
# Directories hold the fixtures that need several files: `include`, `extends`, override files.
SOURCES = sorted([*(path.name for path in FIXTURES.glob("*.yml")), "included", "overridden"])
GOLDEN_SOURCES = ("wordpress.yml", "keycloak.yml", "long-syntax.yml", "swarm-vote.yml", "traefik-whoami.yml",
                  "dev-web.yml", "redis-secret.yml", "mesh.yml", "included", "overridden")  # fmt: skip


def convert_fixture(source: str, stack: str | None = "demo") -> Conversion:
    """Convert a fixture by its path relative to the directory of the fixtures."""
    with contextlib.chdir(FIXTURES):
        return convert([Path(source)], stack=stack)


def build_output(source: str) -> Iterator[str]:
    """Yield the report as comments, followed by the manifests."""
    conversion = convert_fixture(source)
    report = StringIO()
    show_findings(conversion.findings, report)
    report.write(conversion_summary(len(conversion.services), conversion.findings))
    yield "".join(f"# {line}\n" for line in report.getvalue().splitlines())
    yield from yaml_documents(conversion.manifests())


def golden_path(source: str) -> Path:
    return GOLDEN / f"{Path(source).stem}.yaml"


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for source in GOLDEN_SOURCES:
        golden_path(source).write_text("".join(build_output(source)), encoding="utf-8")


if __name__ == "__main__":
    main()
