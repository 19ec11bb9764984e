"""The reconcile of a template, which writes its status: the instances that use it, and whether it can be rendered."""

from collections.abc import Callable
from datetime import datetime

from hopper.api.resources import NamespacedName
from hopper.api.template import parse_template
from hopper.controller.indexes import Indexes
from hopper.domain.service.template_status import template_status
from hopper.ports import NotFoundError, TemplateStore
from hopper.process.system import wall_clock


class TemplateReconciler:
    """Writer of the status of templates. Instances render them in their own reconciles."""

    def __init__(self, indexes: Indexes, store: TemplateStore, clock: Callable[[], datetime] = wall_clock) -> None:
        self._indexes = indexes
        self._store = store
        self._clock = clock

    async def reconcile(self, key: NamespacedName) -> float | None:
        """Write the status of one template if it differs. Raises `ApiError`.

        Always returns None, because only a change of the template or of its users requires another reconcile.
        """
        namespace, name = key
        template = self._indexes.templates.get(namespace, name)
        if template is None or template.metadata.deletion_timestamp:
            return None
        users = sorted(user.name for user in self._indexes.instances.namespace(namespace).users(name))
        now = self._clock().replace(microsecond=0)  # Kubernetes timestamps have whole seconds
        status = template_status(template, users, now)
        if status == template.status:
            return None
        try:
            raw = await self._store.write_status(template, status)
        except NotFoundError:
            return None
        self._indexes.templates.put(parse_template(raw))
        return None
