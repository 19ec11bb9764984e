"""Parses HopperInstances, also those with invalid fields, and remembers what was invalid."""

import logging

from pydantic import ValidationError

from hopper.api.instance import HopperInstance, parse_instance
from hopper.api.partial_instance import parse_valid_fields
from hopper.api.resources import Manifest

logger = logging.getLogger(__name__)


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
            instance, problems = parse_valid_fields(manifest, error)
        if instance is not None:
            self._remember(instance, problems)
        return instance

    def problems(self, instance: HopperInstance) -> tuple[str, ...]:
        """Return a message per invalid spec field of this version of the instance."""
        version, problems = self._problems.get(instance.metadata.uid, ("", ()))
        return problems if version == instance.metadata.resource_version else ()

    def _remember(self, instance: HopperInstance, problems: tuple[str, ...]) -> None:
        """Store the problems of the newest version, because the watch may report a version after a newer own write."""
        version, _ = self._problems.get(instance.metadata.uid, ("0", ()))
        if int(instance.metadata.resource_version) >= int(version):
            self._problems[instance.metadata.uid] = instance.metadata.resource_version, problems

    def forget(self, uid: str) -> None:
        """Forget a deleted instance."""
        self._problems.pop(uid, None)
