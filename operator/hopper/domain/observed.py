"""Input of the planner: one frozen record per reconcile, gathered before any decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hopper.api.conditions import Reason
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance, InstanceStatus, RestartPolicy
from hopper.api.resources import ObjectKey
from hopper.domain.heartbeat import NO_HEARTBEATS, HeartbeatRecord, HeartbeatState, heartbeat_state
from hopper.domain.hierarchy import ParentLink
from hopper.domain.lifecycle import EffectiveState
from hopper.domain.plan import Hold
from hopper.domain.renaming import Takeover
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.domains import DomainProblem
from hopper.domain.workload import Workload


@dataclass(frozen=True, slots=True)
class HookFailure:
    """Refusal of a transition by a hook."""

    source: Phase
    """Phase that the instance would have left."""
    target: Phase
    """Phase that the instance would have entered."""
    message: str
    """Name of the hook and the error that it raised."""


@dataclass(frozen=True, slots=True)
class ChildSummary:
    """Counts and names of the direct children.

    A child is accepted when it carries the ownerReference to this instance. All fields but `expected` are about
    accepted children.
    """

    total: int = 0
    """Number of accepted children."""
    ready: int = 0
    """Number of accepted children that are Ready."""
    active: tuple[str, ...] = ()
    """ChildSummary that may still have pods (`lifecycle.ACTIVE`)."""
    protected: tuple[str, ...] = ()
    """ChildSummary whose `spec.deletionProtection` refuses their deletion."""
    blocked: tuple[str, ...] = ()
    """ChildSummary whose own deletion cannot proceed."""
    held: tuple[str, ...] = ()
    """ChildSummary that the finalizer of another controller keeps, each with that finalizer."""
    expected: bool = False
    """Whether any instance, accepted or not, names this one as its parent and has a matching scope."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The desired workload of an instance and its owned objects."""

    owned: Mapping[ObjectKey, dict[str, Any]]
    """Live owned objects by kind and name, without pods."""
    blueprint: Blueprint | None = None
    """The merged service, ready to render; None if `problem` is set or the instance no longer has a template."""
    problem: Hold | None = None
    """The reason why the service cannot be rendered."""
    template_generation: int | None = None
    """`metadata.generation` of the template."""
    missing_dependencies: tuple[str, ...] = ()
    """Siblings in `dependsOn` that are not Ready, each with its state."""
    cycle: tuple[str, ...] = ()
    """Siblings that depend on each other in a cycle, with the first one repeated at the end."""
    current: bool = False
    """Whether the live Deployment was rendered from this blueprint."""
    domain_problems: tuple[DomainProblem, ...] = ()
    """Domains of the service that are left out of the Ingress."""
    recheck_after: float | None = None
    """Seconds after which the state of the pods must be judged again, even without a watch event."""


@dataclass(frozen=True, slots=True)
class Observed:
    """All input of one decision of the planner."""

    now: datetime
    """The current time in whole seconds, the precision of Kubernetes timestamps."""
    instance: HopperInstance
    """The instance to decide about."""
    link: ParentLink
    """The outcome of checking `spec.parentRef`."""
    effective: EffectiveState
    """The state that the instance must reach."""
    children: ChildSummary = field(default_factory=ChildSummary)
    """The direct children."""
    workload: Workload = field(default_factory=Workload)
    """The state of the Deployment and its pods."""
    runtime: Runtime | None = None
    """The desired workload and the owned objects; None for a logical instance that owns nothing."""
    takeover: Takeover | None = None
    """The open takeover from the predecessor in `spec.renamedFrom`; None if there is none."""
    successor: HopperInstance | None = None
    """The instance that takes over from this one."""
    heartbeats: HeartbeatRecord = NO_HEARTBEATS
    """The heartbeats known to the gateways."""
    config_problems: tuple[str, ...] = ()
    """Messages about fields of `spec.config` that this scope does not have."""
    spec_problems: tuple[str, ...] = ()
    """Messages about fields of the spec that cannot be read and were left out of `instance`."""
    hook_failure: HookFailure | None = None
    """The hook that refused a transition in this reconcile."""
    refusal: str | None = None
    """The API server's message when it rejected a write in this reconcile."""
    refused: frozenset[ObjectKey] = frozenset()
    """Kind and name of the owned objects that `refusal` is about; empty if the instance itself was rejected."""
    name_conflict: str | None = None
    """The object of another owner that occupies a name this instance needs."""

    @property
    def phase(self) -> Phase:
        """The phase in the status of the instance."""
        return self.instance.status.phase

    @property
    def is_new(self) -> bool:
        """Whether the operator has never written a status for the instance."""
        return self.instance.status.observed_generation is None

    @property
    def restart_is_requested(self) -> bool:
        """Whether `spec.restartedAt` has a value that was not handled yet.

        A value given at creation requests nothing, because there is nothing to restart.
        """
        spec, status = self.instance.spec, self.instance.status
        return not self.is_new and spec.restarted_at is not None and spec.restarted_at != status.restarted_at

    @property
    def user_acted(self) -> bool:
        """Whether the spec has changed since the last status, or a restart is requested."""
        return (
            self.restart_is_requested or self.instance.metadata.generation != self.instance.status.observed_generation
        )

    @property
    def restart_policy(self) -> RestartPolicy:
        """The policy in the spec; without one, the default with the mode that the template sets."""
        own = self.instance.spec.restart_policy
        mode = self.runtime.blueprint.spec.restart if self.runtime and self.runtime.blueprint else None
        return own or (RestartPolicy(policy=mode) if mode else RestartPolicy())

    @property
    def heartbeat_state(self) -> HeartbeatState | None:
        """Judgement of the heartbeats; None if the instance need not send any now."""
        return heartbeat_state(self.instance, self.heartbeats)

    @property
    def failed_by_silence(self) -> bool:
        """Whether the instance is in Error because its heartbeats were lost."""
        history = self.instance.status.history
        return self.phase is Phase.ERROR and bool(history) and history[-1].reason == Reason.HEARTBEAT_LOST

    @property
    def has_recovered(self) -> bool:
        """Whether an instance in Error works again although neither a user nor the operator has restarted it.

        Only pods of the present blueprint count, or any pods while no blueprint can be rendered. After lost
        heartbeats, a new heartbeat is needed too.
        """
        pods_count = self.runtime is not None and (self.runtime.current or self.runtime.problem is not None)
        pods_run = pods_count and self.workload.available
        if self.failed_by_silence:
            return self.heartbeat_state is HeartbeatState.ON_TIME and (pods_run or self.runtime is None)
        return pods_run

    def with_status(self, status: InstanceStatus) -> "Observed":
        """Return this observation with another status of the instance."""
        if status is self.instance.status:
            return self
        return replace(self, instance=replace(self.instance, status=status))
