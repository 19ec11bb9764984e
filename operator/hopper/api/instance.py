"""HopperInstance: the contract that users see. Field descriptions end up in `kubectl explain`."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from hopper.api.conditions import ConditionType
from hopper.api.config import InstanceConfig
from hopper.api.enums import DesiredState, InstanceType, Phase, RestartMode, Scope
from hopper.api.model import SHARE, WIRE, Moment, Shared, dump
from hopper.api.names import ANNOTATION_CREATED_BY, ANNOTATION_RUNTIME_METADATA
from hopper.api.scopes import SCOPES
from hopper.api.service import Overrides

ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        description="Name of the object.",
    ),
    SHARE,
]
HISTORY_LIMIT = 20


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class OwnerReference:
    """An entry of `metadata.ownerReferences`."""

    api_version: Shared
    kind: Shared
    name: Shared
    uid: Shared
    controller: bool | None = None
    block_owner_deletion: bool | None = None


_SHOWN_ANNOTATIONS = (ANNOTATION_CREATED_BY, ANNOTATION_RUNTIME_METADATA)


def _shown_only(annotations: Any) -> Any:
    """Keep what the gateway shows: others can be as large as the object itself, such as kubectl's last applied one."""
    if not isinstance(annotations, dict):
        return annotations
    return {key: annotations[key] for key in _SHOWN_ANNOTATIONS if key in annotations} or None


def _newest(entries: Any) -> Any:
    """Return the time of the last write from `managedFields`."""
    if not isinstance(entries, list):
        return entries
    return max((it["time"] for it in entries if it.get("time")), default=None)


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Metadata:
    """The part of `metadata` that Hopper reads."""

    name: str
    namespace: Shared
    uid: str
    resource_version: str = "0"
    generation: int = 1
    creation_timestamp: Moment
    deletion_timestamp: Moment | None = None
    labels: dict[Shared, Shared] | None = None
    annotations: Annotated[dict[Shared, str] | None, BeforeValidator(_shown_only)] = None
    # The whole of `managedFields` would be larger than the rest.
    last_write: Annotated[Moment | None, Field(alias="managedFields"), BeforeValidator(_newest)] = None
    finalizers: tuple[Shared, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class NameRef:
    """A reference to an object in the same namespace."""

    name: ObjectName


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class RenamedFrom:
    """The instance that this one replaces under a new name."""

    name: ObjectName
    claim_prefix: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            description="What the names of its PersistentVolumeClaims begin with. Left out, it is taken from the "
            "status of the instance of that name, while that exists.",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class RestartPolicy:
    """What happens when the instance is in Error. The delay doubles with each try, up to maxBackoffSeconds."""

    policy: Annotated[
        RestartMode,
        Field(description="Always: without end. OnFailure: up to maxRetries times in a row. Never: not at all."),
    ] = RestartMode.ON_FAILURE
    max_retries: Annotated[int, Field(ge=0, le=1000, description="Tries in a row before giving up (OnFailure).")] = 5
    backoff_seconds: Annotated[int, Field(ge=0, le=86400, description="Seconds before the first try.")] = 10
    max_backoff_seconds: Annotated[int, Field(ge=1, le=86400, description="The longest delay between two tries.")] = 300


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Heartbeat:
    """Expects a sign of life from the instance."""

    timeout_seconds: Annotated[
        int,
        Field(ge=1, le=86400, description="Health is unknown after this long without one, Error after three times it."),
    ]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class InstanceSpec:
    """What the user wants."""

    scope: Annotated[Scope, Field(description="Place in the hierarchy; cannot be changed.")]
    type: Annotated[
        InstanceType | None,
        Field(
            description="Singleton: one replica at a time. Persistent: volumes outlive stop, archive and terminate. "
            "Ephemeral: nothing outlives it. By default Singleton for Global, Ephemeral for Event, else Persistent."
        ),
    ] = None
    parent_ref: Annotated[
        NameRef | None, Field(description="The parent, in the same namespace. Change it to move the instance.")
    ] = None
    renamed_from: Annotated[
        RenamedFrom | None,
        Field(
            description="Takes over from the instance of another name: that one is stopped and deleted, its volumes "
            "and its history go on here. Set it when creating the instance; it cannot be changed."
        ),
    ] = None
    desired_state: Annotated[DesiredState, Field(description="The state to bring the instance to.")] = (
        DesiredState.RUNNING
    )
    restarted_at: Annotated[
        Moment | None, Field(description="A new value asks for one restart, as `kubectl rollout restart` does.")
    ] = None
    display_name: Annotated[str | None, Field(max_length=255, description="A name for people.")] = None
    description: Annotated[str | None, Field(max_length=4096, description="What the instance is for.")] = None
    config: Annotated[InstanceConfig | None, Field(description="Configuration; its fields depend on the scope.")] = None
    template_ref: Annotated[
        NameRef | None,
        Field(description="The HopperTemplate to run; none makes a logical instance without a workload."),
    ] = None
    overrides: Annotated[Overrides | None, Field(description="Copy-on-write changes to the template.")] = None
    replicas: Annotated[int, Field(ge=0, le=1000, description="How many pods run; behind the scale subresource.")] = 1
    restart_policy: Annotated[
        RestartPolicy | None,
        Field(
            description="What happens when the instance is in Error; by default what its template says, else OnFailure."
        ),
    ] = None
    heartbeat: Annotated[Heartbeat | None, Field(description="Expects a sign of life from the instance.")] = None
    ttl_seconds_after_finished: Annotated[
        int | None,
        Field(
            ge=0,
            le=315_360_000,
            description="Deletes the instance this many seconds after it was stopped by its own desiredState, was "
            "terminated (an ancestor's counts too), or gave up in Error; not while deletionProtection is set.",
        ),
    ] = None
    deletion_protection: Annotated[
        bool, Field(description="Refuses to delete the instance until this is false again.")
    ] = False
    reason: Annotated[
        str | None,
        Field(max_length=1024, description="Why the desired state was set; shown in conditions, history and events."),
    ] = None

    @property
    def effective_type(self) -> InstanceType:
        """The type, or the default of the scope."""
        return self.type or SCOPES[self.scope].default_type


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Condition:
    """One observation about the instance, in the standard form of Kubernetes."""

    # Plain strings: a status written by a newer operator must stay readable after a roll-back.
    type: Annotated[Shared, Field(description="Type of the condition.")]
    status: Annotated[str, Field(pattern="^(True|False|Unknown)$", description="True, False or Unknown."), SHARE]
    reason: Annotated[Shared, Field(description="CamelCase reason for the last change.")]
    message: Annotated[str, Field(max_length=32768, description="The same for people.")] = ""
    last_transition_time: Annotated[Moment, Field(description="When the status last changed.")]
    observed_generation: Annotated[int | None, Field(description="The generation this was computed from.")] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class HistoryEntry:
    """One transition that happened."""

    # Plain strings, as in a condition: one phase of a newer operator must not cost the whole history after a roll-back.
    from_: Annotated[Shared, Field(alias="from", description="The phase it left.")]
    to: Annotated[Shared, Field(description="The phase it entered.")]
    time: Annotated[Moment, Field(description="When.")]
    reason: Annotated[Shared, Field(description="CamelCase reason.")]
    message: Annotated[str, Field(description="The same for people.")] = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class ChildrenSummary:
    """How many direct children there are."""

    total: Annotated[int, Field(description="Direct children accepted below this instance.")] = 0
    ready: Annotated[int, Field(description="Those among them that are Ready.")] = 0


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class InstanceStatus:
    """What is. Written by the operator only."""

    phase: Annotated[Phase, Field(description="Summary of the lifecycle; the conditions explain it.")] = Phase.CREATED
    effective_state: Annotated[
        DesiredState | None,
        Field(description="The most restrictive of the instance's own desired state and its ancestors'."),
    ] = None
    observed_generation: Annotated[
        int | None, Field(description="The generation of the spec that this status answers.")
    ] = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            description="Observations that explain the phase, in the form that kubectl, Helm, Flux and Argo CD read.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    started_at: Annotated[Moment | None, Field(description="When it last became Running.")] = None
    stopped_at: Annotated[
        Moment | None,
        Field(
            description="When it last became Stopped, or its own desiredState took the place of an ancestor's there."
        ),
    ] = None
    last_transition_time: Annotated[Moment | None, Field(description="When the phase last changed.")] = None
    history: Annotated[
        tuple[HistoryEntry, ...],
        Field(
            description=f"The last {HISTORY_LIMIT} transitions, oldest first.",
            max_length=HISTORY_LIMIT,
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    path: Annotated[
        str | None, Field(description="Names from the root to this instance, such as global/web/worker-1.")
    ] = None
    depth: Annotated[int | None, Field(description="How many ancestors it has.")] = None
    children: Annotated[ChildrenSummary | None, Field(description="Its direct children.")] = None
    restarts: Annotated[int, Field(description="Restarts so far, asked for or by the restart policy.")] = 0
    retries: Annotated[int, Field(description="Tries of the restart policy in a row; 0 again after a stable run.")] = 0
    restarted_at: Annotated[Moment | None, Field(description="The last spec.restartedAt that was acted upon.")] = None
    replicas: Annotated[int | None, Field(description="Pods of the workload; absent for a logical instance.")] = None
    selector: Annotated[str | None, Field(description="Label selector of those pods, for the scale subresource.")] = (
        None
    )
    workload_name: Annotated[str | None, Field(description="Name of the Deployment and of what belongs to it.")] = None
    claim_prefix: Annotated[
        str | None,
        Field(description="What the names of its PersistentVolumeClaims begin with, where that is an earlier name."),
    ] = None
    predecessor: Annotated[
        str | None, Field(description="uid of the instance that this one has taken over from (spec.renamedFrom).")
    ] = None
    override_count: Annotated[int | None, Field(description="Number of override entries in force.")] = None
    template_generation: Annotated[int | None, Field(description="Generation of the template that runs.")] = None

    def changed(self, **fields: Any) -> "InstanceStatus":
        """Return this status with other values in these fields; the very same where nothing differs."""
        news = {name: value for name, value in fields.items() if value != getattr(self, name)}
        return replace(self, **news) if news else self

    def condition(self, kind: ConditionType) -> Condition | None:
        """Return the condition of that type, if it is there."""
        return next((c for c in self.conditions if c.type == kind), None)

    def reason(self, kind: ConditionType) -> str | None:
        """Return the reason of the condition of that type, if it is there."""
        found = self.condition(kind)
        return found.reason if found else None

    @property
    def is_ready(self) -> bool:
        """Whether the Ready condition is True."""
        ready = self.condition(ConditionType.READY)
        return ready is not None and ready.status == "True"


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class HopperInstance:
    """A long-lived instance in a hierarchy: write what you want into spec, read what is from status."""

    metadata: Metadata
    spec: Annotated[InstanceSpec, Field(description="What the user wants.")]
    status: Annotated[InstanceStatus, Field(description="What is. Written by the operator only.")] = InstanceStatus()

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
    """Read an object as the API server sends it.

    Raises `pydantic.ValidationError` where the object does not fit the contract.
    """
    return _INSTANCE.validate_python(raw)


def dump_status(status: InstanceStatus) -> dict[str, Any]:
    """Return the wire form of a status."""
    return dump(_STATUS, status)
