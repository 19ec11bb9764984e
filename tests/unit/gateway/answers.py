"""What answers look like."""

from __future__ import annotations

from typing import Any

import httpx


def is_problem(answer: httpx.Response, code: int, kind: str) -> dict[str, Any]:
    """Expect an error answer of this code and type, in the one form of all of them; return its body."""
    assert (answer.status_code, answer.headers["content-type"]) == (code, "application/json")
    body: dict[str, Any] = answer.json()
    assert body.keys() == ({"error_type", "detail", "errors"} if code == 422 else {"error_type", "detail"})
    assert body["error_type"] == kind
    assert isinstance(body["detail"], str)
    assert body["detail"]
    return body
