"""What is generated from crds/ and the chart is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.packaging.definitions import templates
from tests.packaging.helm import CHART, ROOT, Manifest, render
from tests.packaging.manifests import manifests
from tests.packaging.snapshots import snapshots

FOLDERS = (CHART / "templates" / "crds", ROOT / "manifests", ROOT / "tests" / "packaging")


@pytest.fixture(scope="module")
def generated() -> dict[Path, str]:
    return dict((*templates(), *manifests(), *snapshots()))


def test_is_up_to_date(generated: dict[Path, str]) -> None:
    written = {path for path, text in generated.items() if path.exists() and path.read_text(encoding="utf-8") == text}
    assert written == generated.keys(), "run make manifests"


def test_nothing_stale_is_left(generated: dict[Path, str]) -> None:
    """A file that says it is generated is one that the command writes."""
    found = [path for folder in FOLDERS for path in folder.rglob("*.yaml")]
    assert {path for path in found if "make manifests" in path.read_text(encoding="utf-8")[:200]} <= generated.keys()


def by_name(documents: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    return {(it["kind"], it["metadata"]["name"]): it for it in documents}


@pytest.mark.parametrize("source", ["crds/*.yaml", "manifests/deletion-protection.yaml"])
def test_the_chart_has_the_very_same(source: str) -> None:
    """Beside labels and annotations."""
    wanted = [document for path in ROOT.glob(source) for document in yaml.safe_load_all(path.read_text())]
    rendered = by_name(render())
    assert wanted
    for document in wanted:
        mine = rendered[document["kind"], document["metadata"]["name"]]
        assert {**mine, "metadata": None} == {**document, "metadata": None}
