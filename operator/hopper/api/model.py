"""How every model of the contract is built: immutable, slotted, camelCase on the wire.

Pydantic dataclasses rather than `BaseModel`: the same record is the wire contract and the entry of the in-memory
registry, and a slotted dataclass takes a tenth of the memory (measured: 80 bytes against about 1 KiB).
"""

from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

# `extra="ignore"`: the API server has pruned or refused unknown fields; a newer CRD must not break an older operator.
WIRE = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


def dump(adapter: TypeAdapter[Any], value: object) -> dict[str, Any]:
    """Return the wire form of a record: camelCase keys, JSON types, without the fields that are unset."""
    result: dict[str, Any] = adapter.dump_python(value, by_alias=True, exclude_none=True, mode="json")
    return result
