"""The walk: as many steps towards the effective state as nothing speaks against, and why it stopped.

The steps of one walk are written in one status update: a logical instance gets from Created to Running in one write.
"""

from datetime import timedelta

from hopper.api.conditions import Reason
from hopper.api.enums import Phase
from hopper.api.instance import HISTORY_LIMIT, HistoryEntry, InstanceStatus
from hopper.domain.checks import COMPLAINTS, GATES, LASTING, Check, current_failure, first_hold, parent_is_not_ready
from hopper.domain.lifecycle import STARTED, TARGET_PHASE, is_legal, next_phase, wants_started
from hopper.domain.messages import truncate
from hopper.domain.observed import HookFailure, Observed
from hopper.domain.plan import Hold, Transition
from hopper.domain.workload import Failure

HOOK_RETRY_SECONDS = 10.0


class IllegalTransitionError(Exception):
    """The planner asked for a step that the table of transitions does not have: a bug, refused before it does harm."""


def walk(o: Observed) -> tuple[tuple[Transition, ...], InstanceStatus, Hold | None]:
    """Return the transitions to record, the status after them, and what holds the instance back, if anything."""
    walker = _Walker(o)
    hold = walker.go()
    return tuple(walker.transitions), walker.o.instance.status, hold


class _Walker:
    """Carries the observation along: after each step it looks as if that step had been written."""

    def __init__(self, o: Observed) -> None:
        self.o = o
        self.transitions: list[Transition] = []

    def go(self) -> Hold | None:
        goal = self.o.effective.state
        if failure := current_failure(self.o):
            self._fail(failure)
        if self.o.phase is Phase.ERROR and self.o.user_acted:
            self._update(retries=0)  # the restart policy counts from here
        waiting = self._restart_waits()
        if not waiting and (refused := self._restart()):
            return refused
        while (target := next_phase(self.o.phase, goal)) is not None:
            if hold := first_hold(self._gates(target), self.o) or self._refused_by_hook(target):
                return hold
            self._step(target)
        if self.o.phase is TARGET_PHASE[goal]:
            return waiting or first_hold(LASTING[self.o.phase], self.o)
        message = f"is {self.o.phase}, which is final; delete it and create it again to get {goal}"
        return Hold(Reason.ALREADY_FINAL, message, stalled=True)

    def _gates(self, target: Phase) -> tuple[Check, ...]:
        """Return what may keep it from a phase. What runs again by itself is not to be started: nothing keeps that."""
        runs_again = self.o.phase is Phase.ERROR and self.o.has_recovered and not self.o.restart_is_requested
        return () if runs_again and target is Phase.STARTING else GATES.get(target, ())

    def _restart_waits(self) -> Hold | None:
        """Nothing is stopped that could not start again; whatever else is wanted goes on meanwhile."""
        return first_hold((*COMPLAINTS, parent_is_not_ready), self.o) if self._is_to_be_stopped_first() else None

    def _restart(self) -> Hold | None:
        """Stop what is to be restarted; the walk starts it again. What is in Error is started by leaving Error."""
        status, wanted = self.o.instance.status, self.o.instance.spec.restarted_at
        if self.o.is_new:
            self._update(restarted_at=wanted)
        if not self.o.restart_is_requested or (self.o.phase is Phase.ERROR and wants_started(self.o.effective.state)):
            return None
        stops = self._is_to_be_stopped_first()
        if stops:
            if hold := self._refused_by_hook(Phase.STOPPING):
                return hold
            self._step(Phase.STOPPING)
        self._update(restarted_at=wanted, restarts=status.restarts + stops, retries=0)
        return None

    def _is_to_be_stopped_first(self) -> bool:
        running = wants_started(self.o.effective.state) and self.o.phase in (Phase.STARTING, *STARTED)
        return self.o.restart_is_requested and running

    def _refused_by_hook(self, target: Phase) -> Hold | None:
        """A hook that fails a start is an Error like any other; elsewhere the instance stays and tries again."""
        failure = self.o.hook_failure
        if failure is None or (failure.source, failure.target) != (self.o.phase, target):
            return None
        if target is Phase.STARTING or (self.o.phase, target) == (Phase.STARTING, Phase.RUNNING):
            return self._fail_start(failure)
        message = f"{failure.message}; tried again every {HOOK_RETRY_SECONDS:.0f} s"
        return Hold(Reason.HOOK_FAILED, message, retry_after=HOOK_RETRY_SECONDS)

    def _fail_start(self, failure: HookFailure) -> Hold:
        if self.o.phase is not Phase.STARTING:
            self._step(Phase.STARTING)
        self._fail(Failure(Reason.HOOK_FAILED, failure.message))
        self._update(observed_generation=self.o.instance.metadata.generation)  # what the user did has had its try
        held = first_hold(GATES[Phase.STARTING], self.o)
        return held or Hold(Reason.BACK_OFF, failure.message, retry_after=1.0)

    def _fail(self, failure: Failure) -> None:
        stable = timedelta(seconds=self.o.restart_policy.max_backoff_seconds)
        started = self.o.instance.status.started_at
        if self.o.phase in STARTED and started is not None and self.o.now - started >= stable:
            self._update(retries=0)
        self._record(Transition(self.o.phase, Phase.ERROR, failure.reason, failure.message))

    def _step(self, target: Phase) -> None:
        if self.o.phase is Phase.ERROR and target is Phase.STARTING:
            self._leave_error()
        else:
            self._record(Transition(self.o.phase, target, *self._why(target)))

    def _leave_error(self) -> None:
        status, spec = self.o.instance.status, self.o.instance.spec
        if self.o.restart_is_requested:
            reason, message = Reason.RESTART_REQUESTED, spec.reason or ""
            self._update(restarts=status.restarts + 1, restarted_at=spec.restarted_at)
        elif self.o.has_recovered and self.o.was_silent:
            reason, message = Reason.HEARTBEAT_IS_BACK, "beats again"
        elif self.o.has_recovered:
            reason, message = Reason.WORKLOAD_AVAILABLE, "runs again by itself"
        elif self.o.user_acted:
            reason, message = Reason.SPEC_CHANGED, spec.reason or ""
        else:
            reason, message = Reason.RESTART_POLICY, f"restart {status.retries + 1} in a row"
            self._update(restarts=status.restarts + 1, retries=status.retries + 1)
        self._record(Transition(Phase.ERROR, Phase.STARTING, reason, message))

    def _why(self, target: Phase) -> tuple[Reason, str]:
        if self.o.restart_is_requested and target is Phase.STOPPING and wants_started(self.o.effective.state):
            return Reason.RESTART_REQUESTED, self.o.instance.spec.reason or ""
        return wanted_because(self.o)

    def _record(self, transition: Transition) -> None:
        if not is_legal(transition.source, transition.target):
            raise IllegalTransitionError(f"{self.o.instance.name}: {transition.source} → {transition.target}")
        self.transitions.append(transition)
        entry = HistoryEntry(
            from_=transition.source,
            to=transition.target,
            time=self.o.now,
            reason=transition.reason,
            message=truncate(transition.message),
        )
        status = self.o.instance.status
        begins = transition.target is Phase.RUNNING and transition.source is Phase.STARTING
        stopped = transition.target is Phase.STOPPED
        self._update(
            phase=transition.target,
            last_transition_time=self.o.now,
            history=(*status.history, entry)[-HISTORY_LIMIT:],
            started_at=self.o.now if begins else status.started_at,
            stopped_at=self.o.now if stopped else status.stopped_at,
            retries=0 if stopped else status.retries,
        )

    def _update(self, **changes: object) -> None:
        self.o = self.o.with_status(self.o.instance.status.changed(**changes))


def wanted_because(o: Observed) -> tuple[Reason, str]:
    """Say where the effective state comes from: the instance's own spec, an ancestor, or who takes over from it."""
    if o.successor is not None:
        return Reason.RENAMED, f'renamed to "{o.successor.name}"'
    source = o.effective.source
    if source is None:
        return Reason.DESIRED_STATE, o.instance.spec.reason or ""
    because = f": {source.spec.reason}" if source.spec.reason else ""
    return Reason.INHERITED_FROM, f'{o.effective.state} by {source.spec.scope} "{source.name}"{because}'
