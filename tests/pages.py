"""The Markdown pages of the project, read as the tests need them: marked blocks, fenced code, links, headings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]

_FENCE = re.compile(r"^(?P<ticks>```+)(?P<language>\w*)\n(?P<body>.*?)^(?P=ticks)\n", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^<!-- table: (?P<name>[\w-]+) -->\n(?P<body>.*?)^<!-- end -->\n", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[(?:[^\]`]|`[^`]*`)*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Fence:
    """A piece of fenced code; `line` is where its text begins."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The text without fenced code."""
        return _FENCE.sub("", self.text)

    @property
    def blocks(self) -> dict[str, str]:
        """The text between `<!-- table: NAME -->` and `<!-- end -->`, by name."""
        return {match["name"]: match["body"] for match in _BLOCK.finditer(self.text)}

    def fences(self, *languages: str) -> list[Fence]:
        """Fenced code in these languages, in any without one named."""
        found = (
            Fence(match["language"], match["body"], self.text.count("\n", 0, match.start("body")) + 1)
            for match in _FENCE.finditer(self.text)
        )
        return [fence for fence in found if not languages or fence.language in languages]

    @property
    def code(self) -> list[str]:
        """Inline code."""
        return _CODE.findall(self.prose)

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """The anchors that GitHub makes of the headings."""
        found: dict[str, int] = {}
        for heading in _HEADING.findall(self.prose):
            anchor = _slug(heading)
            found[anchor] = found.get(anchor, -1) + 1
        return {f"{anchor}-{again}" if again else anchor for anchor, most in found.items() for again in range(most + 1)}

    def manifests(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every Kubernetes object in the YAML of the page, with the line where its fence begins."""
        for fence in self.fences("yaml"):
            for document in yaml.safe_load_all(fence.text):
                if isinstance(document, dict) and "kind" in document:
                    yield fence.line, document


def _slug(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    kept = (c for c in plain if c in "-_ " or unicodedata.category(c)[0] in "LN")
    return "".join(kept).replace(" ", "-")


PAGES = [Page(path) for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))]
