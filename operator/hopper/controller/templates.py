"""Templates: who uses them, and whether they can be rendered, in their status."""

from collections.abc import Callable
from datetime import datetime

from hopper.api.resources import NamespacedName
from hopper.api.template import parse_template
from hopper.controller.indexes import Indexes
from hopper.domain.service.template_status import template_status
from hopper.ports import NotFoundError, TemplateStore
from hopper.process.system import wall_clock


class TemplateReconciler:
    """Keeps the status of templates true; what they render to is the instances' own affair."""

    def __init__(self, indexes: Indexes, store: TemplateStore, clock: Callable[[], datetime] = wall_clock) -> None:
        self._indexes = indexes
        self._store = store
        self._clock = clock

    async def reconcile(self, key: NamespacedName) -> float | None:
        """Write the status of one template where it differs; it is not looked at again by itself. Raises `ApiError`."""
        namespace, name = key
        template = self._indexes.templates.get(namespace, name)
        if template is None or template.metadata.deletion_timestamp:
            return None
        users = sorted(user.name for user in self._indexes.instances.namespace(namespace).users(name))
        status = template_status(template, users, self._clock().replace(microsecond=0))
        if status == template.status:
            return None
        try:
            raw = await self._store.write_status(template, status)
        except NotFoundError:
            return None
        self._indexes.templates.put(parse_template(raw))
        return None
