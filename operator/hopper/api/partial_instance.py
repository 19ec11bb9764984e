"""Parsing of instances with invalid fields.

The CRD schema cannot reject everything that Python cannot represent, such as a date in the year 0 or a value that is
nested too deep. A newer CRD may also allow values that this version does not know. Such a field is left out, and
reported as a problem of the instance.
"""

from typing import Any

from pydantic import ValidationError

from hopper.api.instance import HopperInstance, parse_instance
from hopper.api.resources import Manifest

_SECTIONS = ("spec", "status")
# The fields of spec.config are independent of each other, so only the invalid ones are left out.
_CONFIG = ("spec", "config")

Location = tuple[int | str, ...]


def parse_valid_fields(manifest: Manifest, error: ValidationError) -> tuple[HopperInstance | None, tuple[str, ...]]:
    """Return an instance without the fields that `error` names, and a message for each of them in spec.

    The instance is None if it cannot be parsed even without them.
    """
    details = error.errors(include_url=False, include_context=False, include_input=False)
    locations = [detail["loc"] for detail in details]
    problems = tuple(_describe(detail) for detail in details if detail["loc"][0] == "spec")
    sections = {section: _valid_fields(section, manifest.get(section, {}), locations) for section in _SECTIONS}
    try:
        return parse_instance({**manifest, **sections}), problems
    except ValidationError:
        return None, problems


def _valid_fields(section: str, fields: Any, locations: list[Location]) -> dict[str, Any]:
    if not isinstance(fields, dict):
        return {}
    valid = dict(fields)
    for location in locations:
        if location[:1] != (section,) or len(location) == 1:
            continue
        field = valid.get(str(location[1]))
        if location[:2] == _CONFIG and len(location) > 2 and isinstance(field, dict):
            valid["config"] = {name: value for name, value in field.items() if name != location[2]}
        else:
            valid.pop(str(location[1]), None)
    return valid


def _describe(detail: Any) -> str:
    path, message = ".".join(map(str, detail["loc"])), detail["msg"]
    if detail["type"] == "value_error":  # a message of Hopper, which says what to do
        return f"{path}: {message.removeprefix('Value error, ')}"
    return f"{path}: invalid value, correct it: {message}"
