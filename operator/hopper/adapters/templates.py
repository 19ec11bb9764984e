"""HopperTemplates on the API server."""

from typing import Any
from urllib.parse import urlencode

from hopper.adapters.instances import merge_patch
from hopper.adapters.kube import MERGE_PATCH, Kube
from hopper.api.names import FIELD_MANAGER
from hopper.api.resources import TEMPLATES
from hopper.api.template import HopperTemplate, TemplateStatus, dump_template_status


class KubeTemplates:
    """`ports.TemplateStore` on the real API server."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def write_status(self, template: HopperTemplate, status: TemplateStatus) -> dict[str, Any]:
        metadata = {"resourceVersion": template.metadata.resource_version}
        # A status that was never written reads as its defaults, but the API server does not have them.
        before = dump_template_status(template.status) if template.status.observed_generation else {}
        changes = merge_patch(before, dump_template_status(status))
        return await self._kube.request(
            "PATCH",
            TEMPLATES.path(template.namespace, template.name) + "/status",
            resource=f"{TEMPLATES.plural}/status",
            body={"metadata": metadata, "status": changes},
            content_type=MERGE_PATCH,
            query=urlencode({"fieldManager": FIELD_MANAGER}),
        )
