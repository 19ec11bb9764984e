"""The instances of a stack as they are answered."""

from dataclasses import asdict
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.domain.lifecycle import wants_started
from hopper.gateway.access import Access
from hopper.gateway.models.stacks import OVERRIDE_KINDS, StackInstanceView
from hopper.gateway.models.words import STATUSES
from hopper.gateway.stacks.members import instance_id, names, template_of
from hopper.gateway.views.instances import shown_overrides
from hopper.gateway.views.secrecy import marked


def view_stack_instance(access: Access, stack: HopperInstance, instance: HopperInstance) -> StackInstanceView:
    """Return an instance of a stack as it stands in a list."""
    metadata, spec, status = instance.metadata, instance.spec, instance.status
    template = template_of(instance)
    return StackInstanceView(
        id=instance.name,
        uid=metadata.uid,
        stack_id=stack.name,
        instance_id=instance_id(instance, stack),
        template_service_id=template,
        template_name=template,
        container_name=names(access, instance).base,
        description=spec.description,
        enabled=wants_started(spec.desired_state),
        status=STATUSES[status.phase],
        ready=status.is_ready,
        override_count=len(spec.overrides) if spec.overrides else 0,
        created_at=metadata.creation_timestamp,
        updated_at=metadata.last_write or metadata.creation_timestamp,
    )


def view_stack_detail(access: Access, stack: HopperInstance, instance: HopperInstance) -> dict[str, Any]:
    """Return an instance of a stack with all its overrides."""
    shown = shown_overrides(marked(instance, access.context.templates))
    nested = {it.answer: shown.get(it.wire, [] if it.is_list else None) for it in OVERRIDE_KINDS.values()}
    return asdict(view_stack_instance(access, stack, instance)) | nested
