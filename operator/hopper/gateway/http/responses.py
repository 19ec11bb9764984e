"""JSON responses, ETags and conditional requests."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import TypeAdapter

JSON = "application/json"

# Headers of every response. They keep browsers from treating an answer as a page, a script or a frame.
SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def json_response(adapter: TypeAdapter[Any], value: object, code: int = 200, etag: str | None = None) -> Response:
    """Return a value as a JSON response."""
    return Response(adapter.dump_json(value, by_alias=True), code, {"ETag": etag} if etag else None, JSON)


def raw_json_response(text: bytes, etag: str | None = None) -> Response:
    """Return text that is already JSON as a response."""
    return Response(text, headers={"ETag": etag} if etag else None, media_type=JSON)


def not_modified(etag: str) -> Response:
    """Return a 304."""
    return Response(status_code=304, headers={"ETag": etag})


def object_etag(resource_version: str) -> str:
    """Return the ETag of a response about one object."""
    return f'"{resource_version}"'


def combined_etag(versions: Iterable[object]) -> str:
    """Return the ETag of a response made from objects of these versions. All gateways return the same ETag."""
    digest = blake2b(digest_size=12)
    for version in versions:
        digest.update(f"{version} ".encode())
    return f'"{digest.hexdigest()}"'


def has_current_etag(request: Request, etag: str) -> bool:
    """Whether `If-None-Match` includes this ETag (RFC 9110: weak comparison; `*` matches any)."""
    header = request.headers.get("if-none-match")
    if header is None:
        return False
    return etag in (tag.strip().removeprefix("W/") for tag in header.split(",")) or header.strip() == "*"


def expected_version(if_match: str | None) -> str | None:
    """Return the resource version that `If-Match` requires, None for any version."""
    return if_match.strip().removeprefix("W/").strip('"') if if_match and if_match.strip() != "*" else None
