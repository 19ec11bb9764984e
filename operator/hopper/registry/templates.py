"""Index of templates by namespace and name."""

from collections.abc import Iterator

from hopper.api.resources import NamespacedName
from hopper.api.template import HopperTemplate


class TemplateIndex:
    """The latest version of each template."""

    def __init__(self) -> None:
        self._templates: dict[NamespacedName, HopperTemplate] = {}

    def get(self, namespace: str, name: str) -> HopperTemplate | None:
        return self._templates.get((namespace, name))

    def __iter__(self) -> Iterator[HopperTemplate]:
        return iter(self._templates.values())

    def uids(self) -> dict[NamespacedName, str]:
        """Return the uids of all templates, by namespace and name."""
        return {key: template.metadata.uid for key, template in self._templates.items()}

    def put(self, template: HopperTemplate) -> bool:
        """Store a version of a template; return whether it is newer than the one in the index."""
        key = (template.namespace, template.name)
        old = self._templates.get(key)
        if old and int(old.metadata.resource_version) >= int(template.metadata.resource_version):
            return False
        self._templates[key] = template
        return True

    def remove(self, namespace: str, name: str, uid: str) -> bool:
        """Remove a deleted template; return whether it was in the index."""
        old = self._templates.get((namespace, name))
        if old is None or old.metadata.uid != uid:
            return False
        del self._templates[namespace, name]
        return True
