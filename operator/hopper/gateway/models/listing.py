"""Parameters that lists have in common."""

from typing import Annotated

from fastapi import Query

MAX_SKIP = 1_000_000_000

Skip = Annotated[int, Query(ge=0, le=MAX_SKIP, description="How many to leave out at the beginning.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many to answer at most.")]
