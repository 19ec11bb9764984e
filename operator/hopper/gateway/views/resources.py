"""Response models of instances and templates, without secret values."""

from typing import Any

from pydantic import TypeAdapter

from hopper.api.bounded_json import decode_json, free_form_problem
from hopper.api.config import InstanceConfig
from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.api.model import dump
from hopper.api.names import ANNOTATION_CREATED_BY, ANNOTATION_RUNTIME_METADATA
from hopper.api.service import Overrides
from hopper.api.template import HopperTemplate, dump_template_spec
from hopper.gateway.models.enums import SCOPES, STATES, STATUSES, TYPES
from hopper.gateway.models.instances import ChildrenView, ConditionView, InstanceDetail, InstanceView, TransitionView
from hopper.gateway.models.templates import TemplateView
from hopper.gateway.views.secret_values import without_secret_value

_CONFIG: TypeAdapter[InstanceConfig] = TypeAdapter(InstanceConfig)
_OVERRIDES: TypeAdapter[Overrides] = TypeAdapter(Overrides)


def view_instance(instance: HopperInstance) -> InstanceView:
    """Return an instance for a list."""
    return InstanceView(*_instance_fields(instance))


def view_detail(instance: HopperInstance, overrides: Overrides) -> InstanceDetail:
    """Return an instance with its overrides, as returned by `marked_overrides`, and its history."""
    return InstanceDetail(*_instance_fields(instance), *_detail_fields(instance, overrides))


def _detail_fields(instance: HopperInstance, overrides: Overrides) -> tuple[Any, ...]:
    history = [
        TransitionView(entry.from_.lower(), entry.to.lower(), entry.time, entry.reason, entry.message)
        for entry in instance.status.history
    ]
    return view_overrides(overrides), history


def _instance_fields(instance: HopperInstance) -> tuple[Any, ...]:
    """Return the fields of an `InstanceView` by position, which is twice as fast as by name."""
    metadata, spec, status = instance.metadata, instance.spec, instance.status
    annotations = metadata.annotations or {}
    return (
        metadata.name,
        metadata.uid,
        metadata.namespace,
        spec.display_name or metadata.name,
        SCOPES[spec.scope],
        STATUSES[status.phase],
        TYPES[spec.effective_type],
        spec.parent_ref.name if spec.parent_ref else None,
        STATES[spec.desired_state],
        STATES[status.effective_state] if status.effective_state else None,
        status.is_ready,
        dump(_CONFIG, spec.config) if spec.config else {},
        _runtime_metadata(annotations.get(ANNOTATION_RUNTIME_METADATA)),
        spec.description,
        spec.template_ref.name if spec.template_ref else None,
        len(spec.overrides) if spec.overrides else 0,
        spec.replicas,
        metadata.creation_timestamp,
        metadata.last_write or metadata.creation_timestamp,
        annotations.get(ANNOTATION_CREATED_BY),
        status.started_at,
        status.stopped_at,
        spec.reason,
        status.path,
        status.depth,
        ChildrenView(status.children.total, status.children.ready) if status.children else ChildrenView(0, 0),
        status.restarts,
        metadata.labels or {},
        view_conditions(status),
        metadata.resource_version,
    )


def view_conditions(status: InstanceStatus) -> list[ConditionView]:
    """Return the status conditions."""
    return [
        ConditionView(
            condition.type,
            condition.status,
            condition.reason,
            condition.message,
            condition.last_transition_time,
            condition.observed_generation,
        )
        for condition in status.conditions
    ]


def _runtime_metadata(text: str | None) -> dict[str, Any]:
    """Return the values in the annotation, or none if it is not a JSON object or exceeds the limits."""
    try:
        values = decode_json(text) if text else {}
    except ValueError:
        return {}
    return values if isinstance(values, dict) and not free_form_problem(values) else {}


def view_overrides(overrides: Overrides) -> dict[str, Any]:
    """Return the overrides from `marked_overrides` as in the spec, without empty kinds and secret values."""
    shown = {kind: entries for kind, entries in dump(_OVERRIDES, overrides).items() if entries not in ([], ())}
    if "env" in shown:
        shown["env"] = [without_secret_value(entry) for entry in shown["env"]]
    return shown


def view_template(template: HopperTemplate) -> TemplateView:
    """Return a template with the instances that use it."""
    metadata, status = template.metadata, template.status
    spec = dump_template_spec(template.spec)
    if "env" in spec:
        spec["env"] = [without_secret_value(entry) for entry in spec["env"]]
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
