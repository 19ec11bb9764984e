"""What the planner sees: one frozen record, gathered before anything is decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hopper.api.conditions import Reason
from hopper.api.enums import Phase
from hopper.api.instance import HopperInstance, InstanceStatus, RestartPolicy
from hopper.api.resources import ObjectKey
from hopper.domain.heartbeat import NOTHING, Heard, Pulse, pulse_of
from hopper.domain.hierarchy import Effective, Link
from hopper.domain.plan import Hold
from hopper.domain.renaming import Takeover
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.workload import Workload


@dataclass(frozen=True, slots=True)
class HookFailure:
    """A hook that refused to let a transition happen, in this reconcile."""

    source: Phase
    target: Phase
    message: str


@dataclass(frozen=True, slots=True)
class Children:
    """The direct children, counted.

    `total` and `ready` count those accepted (they carry the ownerReference); `up`, `protected` and `blocked` name those
    accepted ones that may have something running, that refuse deletion, or whose deletion cannot go on; `held` names
    those that a finalizer of somebody else keeps from going, and that. `expected` tells whether any child, accepted or
    not yet, names this instance as its parent and fits.
    """

    total: int = 0
    ready: int = 0
    up: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    expected: bool = False


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the instance is to run, and what it owns in the cluster.

    Without a `blueprint` nothing can be rendered: `problem` says why, or, without one, there is no template any more.
    `owned` holds the live objects by kind and name, pods not among them. `waits_for` names siblings that have to be
    Ready first, `circle` those among them that wait for each other. `current` tells whether what runs was rendered from
    this very blueprint. `rivals` holds the domains that another instance claims as well, each with its name.
    """

    owned: Mapping[ObjectKey, dict[str, Any]]
    blueprint: Blueprint | None = None
    problem: Hold | None = None
    template_generation: int | None = None
    waits_for: tuple[str, ...] = ()
    circle: tuple[str, ...] = ()
    current: bool = False
    rivals: tuple[tuple[str, str], ...] = ()
    recheck_after: float | None = None  # seconds after which time alone may change what the pods mean


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that one decision is made from. `now` has whole seconds, as Kubernetes timestamps have."""

    now: datetime
    instance: HopperInstance
    link: Link
    effective: Effective
    children: Children = field(default_factory=Children)
    workload: Workload = field(default_factory=Workload)
    runtime: Runtime | None = None  # None for a logical instance, which owns nothing
    takeover: Takeover | None = None  # None unless it waits to replace another instance
    successor: HopperInstance | None = None  # who takes over from it
    heard: Heard = NOTHING
    config_problems: tuple[str, ...] = ()
    spec_problems: tuple[str, ...] = ()  # what cannot be read, and was left out of the instance
    hook_failure: HookFailure | None = None
    refusal: str | None = None  # why the API server refused a write to this instance, in this reconcile
    occupied: str | None = None  # what of somebody else has to go first, as a write has shown in this reconcile
    refused: frozenset[ObjectKey] = frozenset()  # kind and name of what it owns that this is about

    @property
    def phase(self) -> Phase:
        return self.instance.status.phase

    @property
    def is_new(self) -> bool:
        """Whether no status was ever written."""
        return self.instance.status.observed_generation is None

    @property
    def restart_is_requested(self) -> bool:
        """Whether `spec.restartedAt` holds a value that was not acted upon. At creation there is nothing to restart."""
        spec, status = self.instance.spec, self.instance.status
        return not self.is_new and spec.restarted_at is not None and spec.restarted_at != status.restarted_at

    @property
    def user_acted(self) -> bool:
        """Whether the spec has changed since the last status, or a restart is asked for."""
        return (
            self.restart_is_requested or self.instance.metadata.generation != self.instance.status.observed_generation
        )

    @property
    def restart_policy(self) -> RestartPolicy:
        """The instance's own policy, else with the mode that its template asks for, else the default."""
        own = self.instance.spec.restart_policy
        mode = self.runtime.blueprint.spec.restart if self.runtime and self.runtime.blueprint else None
        return own or (RestartPolicy(policy=mode) if mode else RestartPolicy())

    @property
    def pulse(self) -> Pulse | None:
        """What the heartbeats say of the phase it is in."""
        return pulse_of(self.instance, self.heard)

    @property
    def was_silent(self) -> bool:
        """Whether it is in Error because its heartbeats were lost."""
        history = self.instance.status.history
        return self.phase is Phase.ERROR and bool(history) and history[-1].reason == Reason.HEARTBEAT_LOST

    @property
    def has_recovered(self) -> bool:
        """Whether what failed runs again without anybody's doing."""
        kept = self.runtime is not None and (self.runtime.current or self.runtime.problem is not None)
        runs = kept and self.workload.available
        if self.was_silent:
            return self.pulse is Pulse.BEATS and (runs or self.runtime is None)
        return runs

    def with_status(self, status: InstanceStatus) -> "Observed":
        """Return the same observation as if the instance had this status."""
        if status is self.instance.status:
            return self
        return replace(self, instance=replace(self.instance, status=status))
