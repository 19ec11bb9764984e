"""The page on importing compose files, and its examples, match the converter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hopper.cli.main import app
from hopper.compose.convert import convert
from hopper.compose.report import Outcome
from tests.pages import ROOT, Page
from tests.unit.compose.test_properties import CONVERTED

PAGE = Page(ROOT / "docs" / "how-to" / "import-compose-files.md")
EXAMPLES = ROOT / "docs" / "examples"


def test_the_example_on_the_page_is_the_actual_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source, manifests = (fence.text for fence in PAGE.fences("yaml"))
    (report,) = (fence.text for fence in PAGE.fences("text"))
    Path("compose.yaml").write_text(source)
    result = CliRunner().invoke(app, ["import", "compose", "compose.yaml"])
    assert result.stdout == manifests
    assert result.stderr == report


def test_the_page_lists_every_converted_key() -> None:
    named = set(re.findall(r"`([\w-]+)", PAGE.prose))
    assert set(CONVERTED) - {"cap_add"} <= named


def test_the_bookshop_example_loses_nothing() -> None:
    conversion = convert([EXAMPLES / "bookshop"], stack="bookshop")
    assert [finding for finding in conversion.findings if finding.outcome is Outcome.DROPPED] == []
    kinds = [manifest["kind"] for manifest in conversion.manifests()]
    assert kinds == [*["Secret"] * 4, *["HopperTemplate"] * 4, *["HopperInstance"] * 5]


def test_the_monitoring_example_reports_its_losses() -> None:
    conversion = convert([EXAMPLES / "monitoring"])
    lost = {finding.key for finding in conversion.findings if finding.outcome is Outcome.DROPPED}
    assert {"pid", "volumes[0]", "networks", "container_name"} <= lost
