"""Templates as they are answered. Values of secrets are never among what is answered."""

from hopper.api.template import HopperTemplate, dump_template_spec
from hopper.gateway.models.templates import TemplateView
from hopper.gateway.views.instances import without_secret


def view_template(template: HopperTemplate) -> TemplateView:
    """Return a template as it is answered."""
    metadata, status = template.metadata, template.status
    spec = dump_template_spec(template.spec)
    if "env" in spec:
        spec["env"] = [without_secret(entry) for entry in spec["env"]]
    return TemplateView(
        template.name,
        metadata.uid,
        template.namespace,
        spec,
        status.users,
        list(status.used_by),
        metadata.creation_timestamp,
        metadata.last_write or metadata.creation_timestamp,
        metadata.resource_version,
    )
