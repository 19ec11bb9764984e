"""The page `/docs`, on which the API can be tried, with a content security policy."""

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

_FILES = "/static-offline-docs"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def add_docs_page(app: FastAPI) -> None:
    """Add the route `/docs` to an application. The application must serve the files of Swagger UI."""
    page = bytes(
        get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{app.title} - Swagger UI",
            swagger_js_url=f"{_FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{_FILES}/swagger-ui.css",
            swagger_favicon_url=f"{_FILES}/favicon.png",
        ).body
    )
    headers = {"content-security-policy": _content_security_policy(page.decode())}

    @app.get("/docs", include_in_schema=False)
    async def get_docs_page() -> HTMLResponse:
        """Return the page."""
        return HTMLResponse(page, headers=headers)


def _content_security_policy(page: str) -> str:
    """Return a policy that allows the page's own script, and otherwise only files of the gateway."""
    digests = [hashlib.sha256(script.encode()).digest() for script in _INLINE_SCRIPT.findall(page)]
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
