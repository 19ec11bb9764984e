"""Answers: JSON by pydantic's own serialiser, ETags, 304."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import TypeAdapter

JSON = "application/json"


def respond(adapter: TypeAdapter[Any], value: object, code: int = 200, etag: str | None = None) -> Response:
    """Return a value as JSON."""
    return Response(adapter.dump_json(value, by_alias=True), code, {"ETag": etag} if etag else None, JSON)


def as_json(text: bytes, etag: str | None = None) -> Response:
    """Return what is JSON already."""
    return Response(text, headers={"ETag": etag} if etag else None, media_type=JSON)


def etag_of(versions: Iterable[object]) -> str:
    """Return an ETag for what is made of these versions: the same from every gateway."""
    digest = blake2b(digest_size=12)
    for version in versions:
        digest.update(f"{version} ".encode())
    return f'"{digest.hexdigest()}"'


def is_known(request: Request, etag: str) -> bool:
    """Tell whether the caller has this version already (RFC 9110: weak comparison; `*` is any)."""
    known = request.headers.get("if-none-match")
    if known is None:
        return False
    return etag in (tag.strip().removeprefix("W/") for tag in known.split(",")) or known.strip() == "*"


def version_in(if_match: str | None) -> str | None:
    """Return the version of an object that `If-Match` asks for, None where any will do."""
    return if_match.strip().removeprefix("W/").strip('"') if if_match and if_match.strip() != "*" else None


def unchanged(etag: str) -> Response:
    """Return the answer to somebody who has this version already."""
    return Response(status_code=304, headers={"ETag": etag})
