"""The files of `docs/` that are made from the routes.

`python -m hopper.gateway.documents DIRECTORY` writes the OpenAPI document there as `openapi.json`, and as a page,
`rest-api.md`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from hopper.gateway.app import build_app
from hopper.gateway.http import reference


def document() -> dict[str, Any]:
    """Return the document of the gateway, whatever it serves."""
    return build_app(None).openapi()


def files() -> dict[str, str]:
    """Return the files of `docs/` that are made from the document, by name."""
    found = document()
    return {
        "openapi.json": json.dumps(found, indent=2, ensure_ascii=False) + "\n",
        "rest-api.md": reference.render(found),
    }


if __name__ == "__main__":
    for name, text in files().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
