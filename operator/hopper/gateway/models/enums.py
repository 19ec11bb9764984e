"""Enum values of the REST API: scopes and types in upper case, statuses and states in lower case.

Requests may use any case.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from hopper.api.enums import DesiredState, InstanceType, Phase, Scope

Member = TypeVar("Member", bound=StrEnum)


def _values(members: type[Member], *, upper: bool) -> Mapping[Member, str]:
    return {member: member.value.upper() if upper else member.value.lower() for member in members}


# Values in responses.
SCOPES = _values(Scope, upper=True)
TYPES = _values(InstanceType, upper=True)
STATUSES = _values(Phase, upper=False)
STATES = _values(DesiredState, upper=False)


def _parse_any_case(values: Mapping[Any, str]) -> BeforeValidator:
    members = {value.lower(): member for member, value in values.items()}

    def parse(value: Any) -> Any:
        member = members.get(value.lower()) if isinstance(value, str) else None
        if member is None:
            raise PydanticCustomError("enum", "must be one of {values}", {"values": ", ".join(values.values())})
        return member

    return BeforeValidator(parse)


def _schema(values: Mapping[Any, str], description: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(values.values()), "description": description})


# Types of request fields and parameters.
ScopeParameter = Annotated[
    Scope, _parse_any_case(SCOPES), _schema(SCOPES, "Scope of the instance, which sets its level in the hierarchy.")
]
TypeParameter = Annotated[
    InstanceType,
    _parse_any_case(TYPES),
    _schema(TYPES, "Type of the instance, which sets how it handles replicas and volumes."),
]
StatusParameter = Annotated[Phase, _parse_any_case(STATUSES), _schema(STATUSES, "Lifecycle phase of the instance.")]

# Types of response fields.
ScopeValue = Annotated[str, _schema(SCOPES, "Scope of the instance, which sets its level in the hierarchy.")]
TypeValue = Annotated[str, _schema(TYPES, "Type of the instance, which sets how it handles replicas and volumes.")]
StatusValue = Annotated[str, _schema(STATUSES, "Lifecycle phase of the instance.")]
StateValue = Annotated[str, _schema(STATES, "A desired state.")]
