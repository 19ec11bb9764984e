"""The documentation of the REST API, generated from the routes of the gateway.

`python -m tests.generators.rest_docs DIRECTORY` writes `openapi.json` and `rest-api.md`, as `make openapi` does.
"""

import json
import sys
from pathlib import Path
from typing import Any

from hopper.gateway.app import build_app
from tests.generators.rest_page import render_rest_page


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of the gateway, which is the same for every set of namespaces."""
    return build_app(None).openapi()


def rest_docs() -> dict[str, str]:
    """Return the text of each generated file by its name in `docs/reference/`."""
    document = openapi_document()
    return {
        "openapi.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n",
        "rest-api.md": render_rest_page(document),
    }


if __name__ == "__main__":
    for name, text in rest_docs().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
