"""Reads instances, also those that do not quite fit the contract.

The API server refuses most nonsense, but not all that Python cannot read (such as a date in the year 0), and a newer
definition may allow what this operator has never heard of. Such a field is left out, and said to be wrong.
"""

import logging
from typing import Any

from pydantic import ValidationError

from hopper.api.instance import HopperInstance, parse_instance

logger = logging.getLogger(__name__)

_PARTS = ("spec", "status")


class Reader:
    """Turns objects into instances, and remembers what was wrong with them."""

    def __init__(self) -> None:
        self._problems: dict[str, tuple[str, tuple[str, ...]]] = {}  # uid → resourceVersion, what is wrong in it

    def read(self, raw: dict[str, Any]) -> HopperInstance | None:
        """Return the instance, without the fields that are wrong; None where nothing can be made of it."""
        try:
            return parse_instance(raw)
        except ValidationError as error:
            logger.error("%s/%s: %s", raw["metadata"].get("namespace"), raw["metadata"].get("name"), error)
            return self._read_the_rest(raw, error)

    def problems(self, instance: HopperInstance) -> tuple[str, ...]:
        """Return what was wrong with the spec of this version, field by field."""
        version, problems = self._problems.get(instance.metadata.uid, ("", ()))
        return problems if version == instance.metadata.resource_version else ()

    def forget(self, uid: str) -> None:
        """Forget an object that is gone."""
        self._problems.pop(uid, None)

    def _read_the_rest(self, raw: dict[str, Any], error: ValidationError) -> HopperInstance | None:
        found = error.errors(include_url=False)
        wrong = {entry["loc"][:2] for entry in found}
        rest = {part: {k: v for k, v in raw.get(part, {}).items() if (part, k) not in wrong} for part in _PARTS}
        try:
            instance = parse_instance({**raw, **rest})
        except ValidationError:
            return None
        told = tuple(_tell(entry["loc"], entry["msg"]) for entry in found if entry["loc"][0] == "spec")
        self._problems[instance.metadata.uid] = instance.metadata.resource_version, told
        return instance


def _tell(location: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, location))} cannot be read, correct it: {message}"
