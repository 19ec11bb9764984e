"""Versions of objects, as a write may ask for one."""

from typing import Annotated

from fastapi import Header
from pydantic import Field

# The API server fails at anything else, and takes 0 for "any".
_NUMBER = r"[1-9][0-9]{0,18}"

Version = Annotated[
    str,
    Field(
        pattern=f"^{_NUMBER}$", description="The version this is based on: 409 if there is a newer one. As `If-Match`."
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        pattern=rf'^(\*|{_NUMBER}|(W/)?"{_NUMBER}")$',
        description="The ETag that this is based on: 409 if there is a newer one.",
        examples=['"1207"'],
    ),
]
