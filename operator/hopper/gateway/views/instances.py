"""Instances of the registry as they are answered. Values of secrets are never among what is answered."""

import json
from typing import Any

from pydantic import TypeAdapter

from hopper.api.config import InstanceConfig
from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.api.model import dump
from hopper.api.names import ANNOTATION_CREATED_BY, ANNOTATION_RUNTIME_METADATA
from hopper.api.service import Overrides
from hopper.gateway.models.instances import ChildrenView, ConditionView, InstanceDetail, InstanceView, TransitionView
from hopper.gateway.models.words import SCOPES, STATES, STATUSES, TYPES

_CONFIG: TypeAdapter[InstanceConfig] = TypeAdapter(InstanceConfig)
_OVERRIDES: TypeAdapter[Overrides] = TypeAdapter(Overrides)


def view_instance(instance: HopperInstance) -> InstanceView:
    """Return an instance as it stands in a list."""
    return InstanceView(*_common(instance))


def view_detail(instance: HopperInstance, overrides: Overrides) -> InstanceDetail:
    """Return an instance with all there is to say about it; `overrides` are its own, marked (`views.secrecy`)."""
    return InstanceDetail(*_common(instance), *_details(instance, overrides))


def _details(instance: HopperInstance, overrides: Overrides) -> tuple[Any, ...]:
    history = [
        TransitionView(it.from_.lower(), it.to.lower(), it.time, it.reason, it.message)
        for it in instance.status.history
    ]
    return shown_overrides(overrides), history


def _common(instance: HopperInstance) -> tuple[Any, ...]:
    """Return the fields of an `InstanceView`, in its order: by position is half the cost of by name."""
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
    """Return the conditions as they are answered."""
    return [
        ConditionView(it.type, it.status, it.reason, it.message, it.last_transition_time, it.observed_generation)
        for it in status.conditions
    ]


def _runtime_metadata(text: str | None) -> dict[str, Any]:
    """Read the annotation, which anybody may have edited; what is no JSON object is answered as empty."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def shown_overrides(overrides: Overrides) -> dict[str, Any]:
    """Return marked overrides as in the spec, without empty kinds and without the values of secrets."""
    shown = {kind: entries for kind, entries in dump(_OVERRIDES, overrides).items() if entries not in ([], ())}
    if "env" in shown:
        shown["env"] = [without_secret(entry) for entry in shown["env"]]
    return shown


def without_secret(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of `env`, without its value where that is a secret."""
    return {key: value for key, value in entry.items() if key != "value"} if entry.get("secret") else entry
