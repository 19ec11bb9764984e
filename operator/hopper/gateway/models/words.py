"""The closed sets of words in the REST API: scopes in upper case, statuses in lower case; any case is accepted."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from hopper.api.enums import DesiredState, InstanceType, Phase, Scope

Member = TypeVar("Member", bound=StrEnum)


def _written(members: type[Member], upper: bool) -> Mapping[Member, str]:
    return {it: it.value.upper() if upper else it.value.lower() for it in members}


# How each word stands in an answer.
SCOPES = _written(Scope, upper=True)
TYPES = _written(InstanceType, upper=True)
STATUSES = _written(Phase, upper=False)
STATES = _written(DesiredState, upper=False)


def _any_case(words: Mapping[Any, str]) -> BeforeValidator:
    known = {word.lower(): it for it, word in words.items()}

    def read(value: Any) -> Any:
        found = known.get(value.lower()) if isinstance(value, str) else None
        if found is None:
            raise PydanticCustomError("enum", "has to be one of {words}", {"words": ", ".join(words.values())})
        return found

    return BeforeValidator(read)


def _shown(words: Mapping[Any, str], description: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(words.values()), "description": description})


# As they are accepted.
ScopeWord = Annotated[Scope, _any_case(SCOPES), _shown(SCOPES, "Place in the hierarchy; in any case.")]
TypeWord = Annotated[InstanceType, _any_case(TYPES), _shown(TYPES, "Kind of instance; in any case.")]
StatusWord = Annotated[Phase, _any_case(STATUSES), _shown(STATUSES, "Phase of the lifecycle; in any case.")]

# As they are answered.
ScopeText = Annotated[str, _shown(SCOPES, "Place in the hierarchy.")]
TypeText = Annotated[str, _shown(TYPES, "Kind of instance.")]
StatusText = Annotated[str, _shown(STATUSES, "Phase of the lifecycle.")]
StateText = Annotated[str, _shown(STATES, "A state that can be wanted.")]
