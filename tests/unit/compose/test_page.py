"""The page about the import, and the examples, say what is true."""

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


def test_the_example_is_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source, result = (fence.text for fence in PAGE.fences("yaml"))
    (report,) = (fence.text for fence in PAGE.fences("text"))
    Path("compose.yaml").write_text(source)
    done = CliRunner().invoke(app, ["import", "compose", "compose.yaml"])
    assert done.stdout == result
    assert done.stderr == report


def test_every_key_that_is_converted_is_on_the_page() -> None:
    named = set(re.findall(r"`([\w-]+)", PAGE.prose))
    assert set(CONVERTED) - {"cap_add"} <= named


def test_the_shop_loses_nothing() -> None:
    conversion = convert([EXAMPLES / "bookshop"], stack="bookshop")
    assert [finding for finding in conversion.findings if finding.outcome is Outcome.DROPPED] == []
    kinds = [manifest["kind"] for manifest in conversion.manifests()]
    assert kinds == [*["Secret"] * 4, *["HopperTemplate"] * 4, *["HopperInstance"] * 5]


def test_monitoring_says_what_is_lost() -> None:
    conversion = convert([EXAMPLES / "monitoring"])
    lost = {finding.key for finding in conversion.findings if finding.outcome is Outcome.DROPPED}
    assert {"pid", "volumes[0]", "networks", "container_name"} <= lost
