"""Render modes: the objects that an instance has in each phase."""

from enum import StrEnum

from hopper.api.enums import DesiredState, Phase


class Mode(StrEnum):
    """Selection of the objects that are rendered for an instance.

    - Up: all objects.
    - Paused: all objects, but the Service selects no pods. The pods are not changed.
    - Stopped: all objects, with no pods.
    - Archived and Terminated: only the PersistentVolumeClaims that the type of the instance keeps.
    """

    UP = "Up"
    PAUSED = "Paused"
    STOPPED = "Stopped"
    ARCHIVED = "Archived"
    TERMINATED = "Terminated"

    @property
    def is_final(self) -> bool:
        """Whether objects are only kept, and no longer created or changed."""
        return self in (Mode.ARCHIVED, Mode.TERMINATED)


_MODES = {
    Phase.STARTING: Mode.UP,
    Phase.RUNNING: Mode.UP,
    Phase.PAUSED: Mode.PAUSED,
    Phase.STOPPING: Mode.STOPPED,
    Phase.STOPPED: Mode.STOPPED,
    # Failed pods stay so that users can find the cause. They may also recover.
    Phase.ERROR: Mode.UP,
    Phase.ARCHIVED: Mode.ARCHIVED,
    Phase.TERMINATED: Mode.TERMINATED,
}


def mode_for(phase: Phase, effective: DesiredState | None = None) -> Mode | None:
    """Return the render mode for a phase. None, for Created, means that objects are neither created nor deleted.

    An instance that starts with the effective state Paused is rendered Paused, so that it never receives traffic.
    """
    mode = _MODES.get(phase)
    starts_paused = mode is Mode.UP and phase is not Phase.RUNNING and effective is DesiredState.PAUSED
    return Mode.PAUSED if starts_paused else mode
