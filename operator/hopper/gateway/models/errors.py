"""Errors as they are answered (see `gateway.errors`)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field


@dataclass(slots=True)
class Problem:
    """What went wrong."""

    error_type: Annotated[str, Field(description="Names the kind of error, for programs.", examples=["NotFound"])]
    detail: Annotated[str, Field(description="The same for people.", examples=["Instance web not found"])]


@dataclass(slots=True)
class FieldProblem:
    """What is wrong with one field."""

    field: Annotated[str, Field(description="Where it is.", examples=["body -> scope"])]
    message: Annotated[str, Field(description="What is wrong with it.", examples=["Field required"])]
    type: Annotated[str, Field(description="Names the kind of mistake, for programs.", examples=["missing"])]


@dataclass(slots=True)
class ValidationProblem(Problem):
    """A body or a parameter is not as it has to be."""

    errors: list[FieldProblem]
