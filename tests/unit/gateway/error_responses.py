"""Assertions about error responses."""

from __future__ import annotations

from typing import Any

import httpx


def assert_problem(response: httpx.Response, code: int, error_type: str) -> dict[str, Any]:
    """Assert that a response is an error of this code and type, in the common form; return its body."""
    assert (response.status_code, response.headers["content-type"]) == (code, "application/json")
    body: dict[str, Any] = response.json()
    assert body.keys() == ({"error_type", "detail", "errors"} if code == 422 else {"error_type", "detail"})
    assert body["error_type"] == error_type
    assert isinstance(body["detail"], str)
    assert body["detail"]
    return body
