"""Models and parameters that several routes share: errors, pages and versions."""

from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Header, Query
from pydantic import ConfigDict, Field

Item = TypeVar("Item")

MAX_SKIP = 1_000_000_000
# The API server answers 500 to anything else, and takes 0 as "any version".
_RESOURCE_VERSION = r"[1-9][0-9]{0,18}"

# Errors do not contain the input, because it may be secret.
REQUEST_CONFIG = ConfigDict(extra="forbid", hide_input_in_errors=True)

Skip = Annotated[int, Query(ge=0, le=MAX_SKIP, description="Number of items to skip.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of items to return.")]

Version = Annotated[
    str,
    Field(
        pattern=f"^{_RESOURCE_VERSION}$",
        description="Expected `resource_version` of the object. If the object has a newer one, the response is 409. "
        "Same as `If-Match`.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        pattern=rf'^(\*|{_RESOURCE_VERSION}|(W/)?"{_RESOURCE_VERSION}")$',
        description="Expected ETag of the object. If the object has a newer one, the response is 409.",
        examples=['"1207"'],
    ),
]


@dataclass(slots=True)
class Page(Generic[Item]):
    """A page of a list."""

    items: list[Item]
    total: Annotated[int, Field(description="Number of items that match, on all pages.")]
    skip: Annotated[int, Field(description="Number of items before this page.")]
    limit: Annotated[int, Field(description="Maximum number of items on this page.")]
    has_more: Annotated[bool, Field(description="Whether more items follow this page.")]


@dataclass(slots=True)
class Problem:
    """An error."""

    error_type: Annotated[str, Field(description="Type of the error, for programs.", examples=["NotFound"])]
    detail: Annotated[
        str, Field(description="Human-readable description of the error.", examples=["Instance web not found"])
    ]


@dataclass(slots=True)
class FieldProblem:
    """An error in one field."""

    field: Annotated[str, Field(description="Location of the field.", examples=["body -> scope"])]
    message: Annotated[str, Field(description="Human-readable description of the error.", examples=["Field required"])]
    type: Annotated[str, Field(description="Type of the error, for programs.", examples=["missing"])]


@dataclass(slots=True)
class ValidationProblem(Problem):
    """An error that concerns fields of the body or parameters."""

    errors: list[FieldProblem]
