"""Walk of an instance along the lifecycle: all transitions that are possible now, and the hold that stops it.

The transitions of one walk are written in one status update. A logical instance gets from Created to Running in one
write.
"""

from datetime import timedelta

from hopper.api.conditions import Reason
from hopper.api.enums import Phase
from hopper.api.instance import HISTORY_LIMIT, HistoryEntry, InstanceStatus
from hopper.domain.checks import GATES, INVARIANTS, PROBLEMS, Check, current_failure, first_hold, parent_is_not_ready
from hopper.domain.lifecycle import STARTED, TARGET_PHASE, is_legal, next_phase, wants_started
from hopper.domain.messages import truncate
from hopper.domain.observed import HookFailure, Observed
from hopper.domain.plan import Hold, Transition
from hopper.domain.workload import Failure

HOOK_RETRY_SECONDS = 10.0


class IllegalTransitionError(Exception):
    """A transition that `TRANSITIONS` does not contain. Raised before it is written, because it is a bug."""


def walk(o: Observed) -> tuple[tuple[Transition, ...], InstanceStatus, Hold | None]:
    """Return the transitions to record, the status after them, and the hold that keeps the instance from its goal."""
    walker = _Walker(o)
    hold = walker.walk()
    return tuple(walker.transitions), walker.o.instance.status, hold


class _Walker:
    """State of one walk. `o` is the observation as if all transitions so far had been written."""

    def __init__(self, o: Observed) -> None:
        self.o = o
        self.transitions: list[Transition] = []

    def walk(self) -> Hold | None:
        goal = self.o.effective.state
        if failure := current_failure(self.o):
            self._fail(failure)
        if self.o.phase is Phase.ERROR and self.o.user_acted:
            self._update(retries=0)  # a change by the user gives the restart policy all its restarts again
        restart_hold = self._restart_hold()
        if not restart_hold and (hook_hold := self._restart()):
            return hook_hold
        while (target := next_phase(self.o.phase, goal)) is not None:
            if hold := first_hold(self._gates(target), self.o) or self._hook_hold(target):
                return hold
            self._enter(target)
        if self.o.phase is TARGET_PHASE[goal]:
            return restart_hold or first_hold(INVARIANTS[self.o.phase], self.o)
        message = f"cannot become {goal}: {self.o.phase} is final; delete the instance and create it again"
        return Hold(Reason.ALREADY_FINAL, message, stalled=True)

    def _gates(self, target: Phase) -> tuple[Check, ...]:
        """Return the checks for entering a phase; none for an instance that has recovered and needs no start."""
        recovers = self.o.phase is Phase.ERROR and self.o.has_recovered and not self.o.restart_is_requested
        return () if recovers and target is Phase.STARTING else GATES.get(target, ())

    def _restart_hold(self) -> Hold | None:
        """Return the hold that postpones a requested restart, because the instance could not start again now.

        Other transitions proceed meanwhile.
        """
        return first_hold((*PROBLEMS, parent_is_not_ready), self.o) if self._must_stop_to_restart() else None

    def _restart(self) -> Hold | None:
        """Stop the instance if a restart is requested, and mark the request as handled; the walk starts it again.

        An instance in Error is not stopped, because it restarts by leaving Error. Return a hold if a hook refuses.
        """
        status, restarted_at = self.o.instance.status, self.o.instance.spec.restarted_at
        if self.o.is_new:
            self._update(restarted_at=restarted_at)
        if not self.o.restart_is_requested or (self.o.phase is Phase.ERROR and wants_started(self.o.effective.state)):
            return None
        must_stop = self._must_stop_to_restart()
        if must_stop:
            if hold := self._hook_hold(Phase.STOPPING):
                return hold
            self._enter(Phase.STOPPING)
        self._update(restarted_at=restarted_at, restarts=status.restarts + must_stop, retries=0)
        return None

    def _must_stop_to_restart(self) -> bool:
        running = wants_started(self.o.effective.state) and self.o.phase in (Phase.STARTING, *STARTED)
        return self.o.restart_is_requested and running

    def _hook_hold(self, target: Phase) -> Hold | None:
        """Return the hold after a hook refused this transition; None if none did.

        A refused start counts as a failure, so that the restart policy applies. Other transitions are retried from the
        same phase.
        """
        failure = self.o.hook_failure
        if failure is None or (failure.source, failure.target) != (self.o.phase, target):
            return None
        if target is Phase.STARTING or (self.o.phase, target) == (Phase.STARTING, Phase.RUNNING):
            return self._fail_start(failure)
        message = f"{failure.message}; retried every {HOOK_RETRY_SECONDS:.0f} s"
        return Hold(Reason.HOOK_FAILED, message, retry_after=HOOK_RETRY_SECONDS)

    def _fail_start(self, failure: HookFailure) -> Hold:
        if self.o.phase is not Phase.STARTING:
            self._enter(Phase.STARTING)
        self._fail(Failure(Reason.HOOK_FAILED, failure.message))
        # The change by the user has had its try. Without this it would restart the instance again at once.
        self._update(observed_generation=self.o.instance.metadata.generation)
        hold = first_hold(GATES[Phase.STARTING], self.o)
        return hold or Hold(Reason.BACK_OFF, failure.message, retry_after=1.0)

    def _fail(self, failure: Failure) -> None:
        """Enter Error. After a long stable run, the restart policy starts to count again."""
        stable = timedelta(seconds=self.o.restart_policy.max_backoff_seconds)
        started = self.o.instance.status.started_at
        if self.o.phase in STARTED and started is not None and self.o.now - started >= stable:
            self._update(retries=0)
        self._record(Transition(self.o.phase, Phase.ERROR, failure.reason, failure.message))

    def _enter(self, target: Phase) -> None:
        if self.o.phase is Phase.ERROR and target is Phase.STARTING:
            self._leave_error()
        else:
            self._record(Transition(self.o.phase, target, *self._cause(target)))

    def _leave_error(self) -> None:
        """Enter Starting with the reason that applies first, and count the restart if the operator made it."""
        status, spec = self.o.instance.status, self.o.instance.spec
        if self.o.restart_is_requested:
            reason, message = Reason.RESTART_REQUESTED, spec.reason or ""
            self._update(restarts=status.restarts + 1, restarted_at=spec.restarted_at)
        elif self.o.has_recovered and self.o.failed_by_silence:
            reason, message = Reason.HEARTBEAT_IS_BACK, "heartbeats are back"
        elif self.o.has_recovered:
            reason, message = Reason.WORKLOAD_AVAILABLE, "the workload has recovered by itself"
        elif self.o.user_acted:
            reason, message = Reason.SPEC_CHANGED, spec.reason or ""
        else:
            reason, message = Reason.RESTART_POLICY, f"restart attempt {status.retries + 1}"
            self._update(restarts=status.restarts + 1, retries=status.retries + 1)
        self._record(Transition(Phase.ERROR, Phase.STARTING, reason, message))

    def _cause(self, target: Phase) -> tuple[Reason, str]:
        if self.o.restart_is_requested and target is Phase.STOPPING and wants_started(self.o.effective.state):
            return Reason.RESTART_REQUESTED, self.o.instance.spec.reason or ""
        return cause_of_state(self.o)

    def _record(self, transition: Transition) -> None:
        """Append a transition, and update the status as if it had been written."""
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
        starts = transition.target is Phase.RUNNING and transition.source is Phase.STARTING
        stops = transition.target is Phase.STOPPED
        self._update(
            phase=transition.target,
            last_transition_time=self.o.now,
            history=(*status.history, entry)[-HISTORY_LIMIT:],
            started_at=self.o.now if starts else status.started_at,
            stopped_at=self.o.now if stops else status.stopped_at,
            retries=0 if stops else status.retries,
        )

    def _update(self, **changes: object) -> None:
        self.o = self.o.with_status(self.o.instance.status.changed(**changes))


def cause_of_state(o: Observed) -> tuple[Reason, str]:
    """Return reason and message for the effective state: a successor, an ancestor, or the instance's own spec."""
    if o.successor is not None:
        return Reason.RENAMED, f'renamed to "{o.successor.name}"'
    source = o.effective.source
    if source is None:
        return Reason.DESIRED_STATE, o.instance.spec.reason or ""
    cause = f": {source.spec.reason}" if source.spec.reason else ""
    return Reason.INHERITED_FROM, f'{o.effective.state} by {source.spec.scope} "{source.name}"{cause}'
