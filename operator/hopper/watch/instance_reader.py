"""Parses HopperInstances, also those with invalid fields.

The CRD schema cannot reject everything that Python cannot represent, such as a date in the year 0. A newer CRD may also
allow values that this version does not know. Such a field is left out, and reported as a problem of the instance.
"""

import logging

from pydantic import ValidationError

from hopper.api.instance import HopperInstance, parse_instance
from hopper.api.resources import Manifest

logger = logging.getLogger(__name__)

_SECTIONS = ("spec", "status")


class InstanceReader:
    """Parser of instances that remembers which spec fields were invalid."""

    def __init__(self) -> None:
        self._problems: dict[str, tuple[str, tuple[str, ...]]] = {}  # uid → resourceVersion, messages

    def read(self, manifest: Manifest) -> HopperInstance | None:
        """Return the instance without its invalid fields; None if it cannot be parsed even without them."""
        try:
            return parse_instance(manifest)
        except ValidationError as error:
            metadata = manifest["metadata"]
            logger.error("%s/%s: %s", metadata.get("namespace"), metadata.get("name"), error)
            return self._read_valid_fields(manifest, error)

    def problems(self, instance: HopperInstance) -> tuple[str, ...]:
        """Return a message per invalid spec field of this version of the instance."""
        version, problems = self._problems.get(instance.metadata.uid, ("", ()))
        return problems if version == instance.metadata.resource_version else ()

    def forget(self, uid: str) -> None:
        """Forget a deleted instance."""
        self._problems.pop(uid, None)

    def _read_valid_fields(self, manifest: Manifest, error: ValidationError) -> HopperInstance | None:
        details = error.errors(include_url=False)
        invalid = {detail["loc"][:2] for detail in details}
        valid = {
            section: {
                field: value for field, value in manifest.get(section, {}).items() if (section, field) not in invalid
            }
            for section in _SECTIONS
        }
        try:
            instance = parse_instance({**manifest, **valid})
        except ValidationError:
            return None
        problems = tuple(_describe(detail["loc"], detail["msg"]) for detail in details if detail["loc"][0] == "spec")
        self._problems[instance.metadata.uid] = instance.metadata.resource_version, problems
        return instance


def _describe(location: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, location))}: invalid value, correct it: {message}"
