"""Settings and building blocks of all models: immutable, slotted, and camelCase on the wire.

Pydantic dataclasses are used rather than `BaseModel`, because the indexes keep the same records in memory. A slotted
dataclass needs a seventh of the memory (measured with four fields: 72 against 488 bytes).
"""

import sys
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass

from hopper.api.names import ANNOTATION_CREATED_BY, ANNOTATION_RUNTIME_METADATA

# `extra="ignore"`, because the API server has already pruned or rejected unknown fields, and an operator must read the
# objects of a newer CRD too. `hide_input_in_errors`, because errors are logged and the input may hold secret values.
WIRE = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", hide_input_in_errors=True)

# Interns a string that many records share. Without it, an index entry needs more than half as much memory again
# (measured: 2.8 against 1.7 KiB). It must follow `Field`, or the schema loses the constraints of the field.
SHARE = AfterValidator(sys.intern)
Shared = Annotated[str, SHARE]
# Times are shared as well, because many of them fall into the same second.
Moment = Annotated[datetime, AfterValidator(lru_cache(maxsize=4096)(lambda moment: moment))]

# Default of `status.observedGeneration` in the CRDs, read as None. With it, kstatus does not call an object current
# before the operator has seen it.
UNOBSERVED = -1
OBSERVED_OR_NONE = BeforeValidator(lambda generation: None if generation == UNOBSERVED else generation)

ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        description="Name of the object.",
    ),
    SHARE,
]

# The annotations that the gateway shows. Others are dropped, because they can be as large as the object itself, such as
# kubectl's last-applied-configuration.
_KEPT_ANNOTATIONS = (ANNOTATION_CREATED_BY, ANNOTATION_RUNTIME_METADATA)


def _drop_unused_annotations(annotations: Any) -> Any:
    if not isinstance(annotations, dict):
        return annotations
    return {key: annotations[key] for key in _KEPT_ANNOTATIONS if key in annotations} or None


def _last_write_time(managed_fields: Any) -> Any:
    """Return the time of the last write according to `managedFields`."""
    if not isinstance(managed_fields, list):
        return managed_fields
    return max((entry["time"] for entry in managed_fields if entry.get("time")), default=None)


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class OwnerReference:
    """Entry of `metadata.ownerReferences`."""

    api_version: Shared
    kind: Shared
    name: Shared
    uid: Shared
    controller: bool | None = None
    block_owner_deletion: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Metadata:
    """The part of `metadata` that Hopper reads."""

    name: str
    namespace: Shared
    uid: str
    resource_version: str = "0"
    generation: int = 1
    creation_timestamp: Moment
    deletion_timestamp: Moment | None = None
    labels: dict[Shared, Shared] | None = None
    annotations: Annotated[dict[Shared, str] | None, BeforeValidator(_drop_unused_annotations)] = None
    # Only the newest time, because all of `managedFields` would be larger than the rest of the record.
    last_write: Annotated[Moment | None, Field(alias="managedFields"), BeforeValidator(_last_write_time)] = None
    finalizers: tuple[Shared, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class NameRef:
    """Reference to an object in the same namespace."""

    name: ObjectName


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Condition:
    """Observation about an object, in the standard form of Kubernetes conditions."""

    # Plain strings, because an operator must be able to read the status of a newer one after a rollback.
    type: Annotated[Shared, Field(description="Type of the condition.")]
    status: Annotated[
        str,
        Field(pattern="^(True|False|Unknown)$", description="Status of the condition: True, False or Unknown."),
        SHARE,
    ]
    reason: Annotated[Shared, Field(description="CamelCase reason for the status.")]
    message: Annotated[str, Field(max_length=32768, description="Human-readable explanation of the status.")] = ""
    last_transition_time: Annotated[Moment, Field(description="Time when the status last changed.")]
    observed_generation: Annotated[
        int | None, Field(description="Generation of the object from which the condition was computed.")
    ] = None


def dump(adapter: TypeAdapter[Any], value: object) -> dict[str, Any]:
    """Return the wire form of a record: camelCase keys and JSON types, without unset fields."""
    result: dict[str, Any] = adapter.dump_python(value, by_alias=True, exclude_none=True, mode="json")
    return result
