"""How much of a workload there is to be."""

from enum import StrEnum

from hopper.api.enums import DesiredState, Phase


class Mode(StrEnum):
    """What a phase means for the objects of an instance.

    Up: all of them. Paused: the same pods, untouched, but no longer behind the Service. Stopped: no pods, everything
    else stays. Archived and Terminated: only the volumes that the type keeps.
    """

    UP = "Up"
    PAUSED = "Paused"
    STOPPED = "Stopped"
    ARCHIVED = "Archived"
    TERMINATED = "Terminated"

    @property
    def is_ended(self) -> bool:
        """Whether what is there may stay as it is, and nothing is made any more."""
        return self in (Mode.ARCHIVED, Mode.TERMINATED)


_MODES = {
    Phase.STARTING: Mode.UP,
    Phase.RUNNING: Mode.UP,
    Phase.PAUSED: Mode.PAUSED,
    Phase.STOPPING: Mode.STOPPED,
    Phase.STOPPED: Mode.STOPPED,
    # The pods stay for those who look for the reason, and may yet come right by themselves.
    Phase.ERROR: Mode.UP,
    Phase.ARCHIVED: Mode.ARCHIVED,
    Phase.TERMINATED: Mode.TERMINATED,
}


def mode_of(phase: Phase, effective: DesiredState | None = None) -> Mode | None:
    """Return the mode that a phase asks for. None (Created): nothing is to be made, and nothing taken away, yet.

    What is on its way to be Paused (`effective`) is not to serve for a moment.
    """
    mode = _MODES.get(phase)
    return Mode.PAUSED if mode is Mode.UP and phase is not Phase.RUNNING and effective is DesiredState.PAUSED else mode
