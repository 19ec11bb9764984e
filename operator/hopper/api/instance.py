"""HopperInstance. `kubectl explain` shows the descriptions of its fields."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from hopper.api.conditions import ConditionType
from hopper.api.config import InstanceConfig
from hopper.api.enums import DesiredState, InstanceType, Phase, RestartMode, Scope
from hopper.api.model import OBSERVED_OR_NONE, WIRE, Condition, Metadata, Moment, NameRef, ObjectName, Shared, dump
from hopper.api.scopes import SCOPES
from hopper.api.service import Overrides

HISTORY_LIMIT = 20


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class RenamedFrom:
    """Reference to the instance that this one replaces under a new name."""

    name: ObjectName
    claim_prefix: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            description="Prefix of the names of the predecessor's PersistentVolumeClaims. If not set, it is read from "
            "the status of the predecessor, as long as the predecessor exists.",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class RestartPolicy:
    """Restarts of an instance in phase Error. The delay doubles with each restart, up to maxBackoffSeconds."""

    policy: Annotated[
        RestartMode,
        Field(
            description="When the instance is restarted. Always: without a limit. OnFailure: up to maxRetries times in "
            "a row. Never: not at all."
        ),
    ] = RestartMode.ON_FAILURE
    max_retries: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="Number of restarts in a row after which the instance stays in Error. Applies to OnFailure.",
        ),
    ] = 5
    backoff_seconds: Annotated[
        int, Field(ge=0, le=86400, description="Number of seconds to wait before the first restart.")
    ] = 10
    max_backoff_seconds: Annotated[
        int, Field(ge=1, le=86400, description="Maximum number of seconds between two restarts.")
    ] = 300


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Heartbeat:
    """Heartbeat that an instance must send."""

    timeout_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=86400,
            description="Number of seconds without a heartbeat after which the health is unknown. After three times as "
            "long, the instance enters phase Error.",
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class InstanceSpec:
    """Desired state of an instance."""

    scope: Annotated[Scope, Field(description="Place in the hierarchy. Immutable.")]
    type: Annotated[
        InstanceType | None,
        Field(
            description="Treatment of replicas and volumes. Singleton: at most one replica at a time. Persistent: "
            "volumes are kept while the instance is stopped, archived or terminated. Ephemeral: volumes are "
            "temporary. If not set, the type is Singleton for scope Global, Ephemeral for scope Event, and Persistent "
            "otherwise."
        ),
    ] = None
    parent_ref: Annotated[
        NameRef | None, Field(description="Parent of the instance. Change it to move the instance.")
    ] = None
    renamed_from: Annotated[
        RenamedFrom | None,
        Field(
            description="Instance that this one replaces under a new name. The predecessor is stopped and deleted, and "
            "its volumes and history are carried over. Set it when you create the instance. Immutable."
        ),
    ] = None
    desired_state: Annotated[DesiredState, Field(description="State that the operator brings the instance to.")] = (
        DesiredState.RUNNING
    )
    restarted_at: Annotated[
        Moment | None,
        Field(
            description="Time of the last restart request. Each new value requests one restart, as `kubectl rollout "
            "restart` does for a Deployment."
        ),
    ] = None
    display_name: Annotated[str | None, Field(max_length=255, description="Human-readable name.")] = None
    description: Annotated[
        str | None, Field(max_length=4096, description="Human-readable purpose of the instance.")
    ] = None
    config: Annotated[
        InstanceConfig | None,
        Field(description="Configuration of the instance. The scope determines which fields may be set."),
    ] = None
    template_ref: Annotated[
        NameRef | None,
        Field(description="HopperTemplate that the instance runs. If not set, the instance has no workload."),
    ] = None
    overrides: Annotated[
        Overrides | None, Field(description="Changes to the template that apply to this instance only.")
    ] = None
    replicas: Annotated[
        int, Field(ge=0, le=1000, description="Number of pods to run. The scale subresource changes this field.")
    ] = 1
    restart_policy: Annotated[
        RestartPolicy | None,
        Field(
            description="Restarts of the instance in phase Error. If not set, the restart mode of the template "
            "applies, or OnFailure if the template has none."
        ),
    ] = None
    heartbeat: Annotated[
        Heartbeat | None,
        Field(description="Heartbeat that the instance must send. If not set, no heartbeat is expected."),
    ] = None
    ttl_seconds_after_finished: Annotated[
        int | None,
        Field(
            ge=0,
            le=315_360_000,
            description="Number of seconds after which a finished instance is deleted. An instance is finished when "
            "its own desiredState has stopped it, when it is terminated (also through an ancestor), or when it is in "
            "Error and its restart policy allows no further restart. An instance with deletionProtection is not "
            "deleted.",
        ),
    ] = None
    deletion_protection: Annotated[bool, Field(description="Whether requests to delete the instance are rejected.")] = (
        False
    )
    reason: Annotated[
        str | None,
        Field(
            max_length=1024,
            description="Human-readable reason for the desired state. Conditions, history and Events show it.",
        ),
    ] = None

    @property
    def effective_type(self) -> InstanceType:
        """The type, or the default type of the scope."""
        return self.type or SCOPES[self.scope].default_type


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class HistoryEntry:
    """Past transition between two phases."""

    # Plain strings, as in a condition: one unknown phase must not make the whole history unreadable after a rollback.
    from_: Annotated[Shared, Field(alias="from", description="Phase before the transition.")]
    to: Annotated[Shared, Field(description="Phase after the transition.")]
    time: Annotated[Moment, Field(description="Time of the transition.")]
    reason: Annotated[Shared, Field(description="CamelCase reason for the transition.")]
    message: Annotated[str, Field(description="Human-readable explanation of the transition.")] = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class ChildCounts:
    """Numbers of direct children."""

    total: Annotated[int, Field(description="Number of children that are accepted below this instance.")] = 0
    ready: Annotated[int, Field(description="Number of accepted children whose condition Ready is True.")] = 0


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class InstanceStatus:
    """Observed state of an instance. Only the operator writes it."""

    phase: Annotated[
        Phase, Field(description="Summary of the instance's place in its lifecycle. The conditions explain it.")
    ] = Phase.CREATED
    effective_state: Annotated[
        DesiredState | None,
        Field(description="Most restrictive desired state among the instance and its ancestors."),
    ] = None
    observed_generation: Annotated[
        int | None,
        OBSERVED_OR_NONE,
        Field(
            description="Generation of the instance from which this status was computed; -1 before the operator "
            "has seen the instance."
        ),
    ] = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            description="Current conditions of the instance. They follow the kstatus conventions, which kubectl, Helm, "
            "Flux and Argo CD understand.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    started_at: Annotated[Moment | None, Field(description="Time when the instance last entered phase Running.")] = None
    stopped_at: Annotated[
        Moment | None,
        Field(
            description="Time when the instance last entered phase Stopped, or when its own desiredState replaced that "
            "of an ancestor as the reason to be stopped."
        ),
    ] = None
    last_transition_time: Annotated[Moment | None, Field(description="Time when the phase last changed.")] = None
    history: Annotated[
        tuple[HistoryEntry, ...],
        Field(
            description=f"The last {HISTORY_LIMIT} transitions, oldest first.",
            max_length=HISTORY_LIMIT,
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    path: Annotated[
        str | None,
        Field(description="Names from the root to this instance, separated by slashes, such as global/web/worker-1."),
    ] = None
    depth: Annotated[int | None, Field(description="Number of ancestors.")] = None
    children: Annotated[ChildCounts | None, Field(description="Numbers of direct children.")] = None
    restarts: Annotated[
        int, Field(description="Number of restarts so far, both on request and by the restart policy.")
    ] = 0
    retries: Annotated[
        int,
        Field(
            description="Number of restarts by the restart policy in a row. A stable run or a spec change "
            "resets it to 0."
        ),
    ] = 0
    restarted_at: Annotated[
        Moment | None, Field(description="Last value of spec.restartedAt for which the instance was restarted.")
    ] = None
    replicas: Annotated[
        int | None, Field(description="Number of pods of the workload. Not set without a workload.")
    ] = None
    selector: Annotated[
        str | None, Field(description="Label selector of the pods. The scale subresource shows it.")
    ] = None
    workload_name: Annotated[
        str | None, Field(description="Name of the Deployment, and base name of the other owned objects.")
    ] = None
    claim_prefix: Annotated[
        str | None,
        Field(
            description="Prefix of the names of the PersistentVolumeClaims, if it stems from an earlier name of the "
            "instance."
        ),
    ] = None
    predecessor: Annotated[
        str | None, Field(description="UID of the instance that this one has replaced (spec.renamedFrom).")
    ] = None
    override_count: Annotated[int | None, Field(description="Number of override entries in effect.")] = None
    template_generation: Annotated[
        int | None, Field(description="Generation of the template that the workload was rendered from.")
    ] = None

    def changed(self, **fields: Any) -> "InstanceStatus":
        """Return a copy with other values in these fields, or this very status if no value differs."""
        changes = {name: value for name, value in fields.items() if value != getattr(self, name)}
        return replace(self, **changes) if changes else self

    def condition(self, kind: ConditionType) -> Condition | None:
        """Return the condition of a type, or None."""
        return next((condition for condition in self.conditions if condition.type == kind), None)

    def reason(self, kind: ConditionType) -> str | None:
        """Return the reason of the condition of a type, or None."""
        condition = self.condition(kind)
        return condition.reason if condition else None

    @property
    def is_ready(self) -> bool:
        """Whether the condition Ready is True."""
        ready = self.condition(ConditionType.READY)
        return ready is not None and ready.status == "True"


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class HopperInstance:
    """Long-lived instance in a hierarchy of instances, with or without a workload."""

    metadata: Metadata
    spec: Annotated[InstanceSpec, Field(description="Desired state of the instance.")]
    status: Annotated[
        InstanceStatus, Field(description="Observed state of the instance. Only the operator writes it.")
    ] = InstanceStatus()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def parent_name(self) -> str | None:
        return self.spec.parent_ref.name if self.spec.parent_ref else None


_INSTANCE: TypeAdapter[HopperInstance] = TypeAdapter(HopperInstance)
_STATUS: TypeAdapter[InstanceStatus] = TypeAdapter(InstanceStatus)


def parse_instance(raw: dict[str, Any]) -> HopperInstance:
    """Return the instance for an object from the API server.

    Raises `pydantic.ValidationError` if the object does not match the models.
    """
    return _INSTANCE.validate_python(raw)


def dump_status(status: InstanceStatus) -> dict[str, Any]:
    """Return the wire form of a status."""
    return dump(_STATUS, status)
