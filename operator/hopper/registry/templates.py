"""The templates, by namespace and name."""

from collections.abc import Iterator

from hopper.api.resources import NamespacedName
from hopper.api.template import HopperTemplate


class TemplateIndex:
    """The newest known version of each template."""

    def __init__(self) -> None:
        self._known: dict[NamespacedName, HopperTemplate] = {}

    def get(self, namespace: str, name: str) -> HopperTemplate | None:
        return self._known.get((namespace, name))

    def __iter__(self) -> Iterator[HopperTemplate]:
        return iter(self._known.values())

    def uids(self) -> dict[NamespacedName, str]:
        """Return all known templates: uids by namespace and name."""
        return {key: template.metadata.uid for key, template in self._known.items()}

    def put(self, template: HopperTemplate) -> bool:
        """Take in a version; tell whether it is newer than what was known."""
        key = (template.namespace, template.name)
        old = self._known.get(key)
        if old and int(old.metadata.resource_version) >= int(template.metadata.resource_version):
            return False
        self._known[key] = template
        return True

    def remove(self, namespace: str, name: str, uid: str) -> bool:
        """Take out a template that is gone; tell whether it was there."""
        old = self._known.get((namespace, name))
        if old is None or old.metadata.uid != uid:
            return False
        del self._known[namespace, name]
        return True
