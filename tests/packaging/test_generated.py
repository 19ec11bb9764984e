"""Generated files are up to date."""

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


def test_there_are_no_stale_files(generated: dict[Path, str]) -> None:
    """Every file with the header of the generator is still generated."""
    files = [path for folder in FOLDERS for path in folder.rglob("*.yaml")]
    assert {path for path in files if "make manifests" in path.read_text(encoding="utf-8")[:200]} <= generated.keys()


def by_name(documents: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


@pytest.mark.parametrize("source", ["crds/*.yaml", "manifests/deletion-protection.yaml"])
def test_the_chart_renders_the_source_except_for_metadata(source: str) -> None:
    documents = [document for path in ROOT.glob(source) for document in yaml.safe_load_all(path.read_text())]
    rendered = by_name(render())
    assert documents
    for document in documents:
        counterpart = rendered[document["kind"], document["metadata"]["name"]]
        assert {**counterpart, "metadata": None} == {**document, "metadata": None}
