"""The generated tables of the documentation.

`python -m tests.generators.doc_tables` writes them, as `make docs` does.
"""

from __future__ import annotations

import re

from tests.pages import PAGES, Page
from tests.unit.tables import TABLES


def with_current_tables(page: Page) -> str:
    """Return the text of a page with every generated table rendered from the current definitions."""
    text = page.text
    for name in page.blocks.keys() & TABLES.keys():
        block = re.compile(rf"(?<=<!-- table: {re.escape(name)} -->\n).*?(?=\n?<!-- end -->)", re.DOTALL)
        text = block.sub(lambda _, name=name: TABLES[name](), text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.path.write_text(with_current_tables(page), encoding="utf-8")
