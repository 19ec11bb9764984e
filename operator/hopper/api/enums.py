"""The closed sets of words that appear in specs and statuses."""

from enum import StrEnum


class Scope(StrEnum):
    """An instance's place in the hierarchy."""

    GLOBAL = "Global"
    PROJECT = "Project"
    ORCHESTRATION = "Orchestration"
    PERSONAL = "Personal"
    FAMILY = "Family"
    EVENT = "Event"
    FEDERATED = "Federated"


class InstanceType(StrEnum):
    """How an instance treats replicas and volumes."""

    SINGLETON = "Singleton"
    PERSISTENT = "Persistent"
    EPHEMERAL = "Ephemeral"


class DesiredState(StrEnum):
    """What the user wants, from least to most restrictive."""

    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPED = "Stopped"
    ARCHIVED = "Archived"
    TERMINATED = "Terminated"

    @property
    def severity(self) -> int:
        """Rank by restrictiveness: 0 for Running up to 4 for Terminated."""
        return _SEVERITY[self]


_SEVERITY = {state: rank for rank, state in enumerate(DesiredState)}


class Phase(StrEnum):
    """A summary of where an instance is in its lifecycle; always recomputable from what is observed."""

    CREATED = "Created"
    STARTING = "Starting"
    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    ERROR = "Error"
    ARCHIVED = "Archived"
    TERMINATED = "Terminated"


class RestartMode(StrEnum):
    """What happens when an instance is in Error."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class RoutingStrategy(StrEnum):
    """How tasks find an instance."""

    INTELLIGENT = "Intelligent"
    RULES = "Rules"


class RoutingFallback(StrEnum):
    """What routing falls back to."""

    RULES = "Rules"


class PortProtocol(StrEnum):
    """Transport protocol of a port."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class VolumeType(StrEnum):
    """Where a volume's data lives."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"
    CONFIG = "config"


class SecurityProfile(StrEnum):
    """What a workload's pods are allowed, in the words of the Pod Security Standards."""

    RESTRICTED = "Restricted"
    BASELINE = "Baseline"


class Health(StrEnum):
    """How an instance is, from best to worst. Of an instance and all below it, the worst counts."""

    INACTIVE = "inactive"
    HEALTHY = "healthy"
    PROGRESSING = "progressing"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"
    UNHEALTHY = "unhealthy"

    @property
    def severity(self) -> int:
        """Rank in the order above: 0 for inactive up to 5 for unhealthy."""
        return _HEALTH_SEVERITY[self]

    @property
    def is_trouble(self) -> bool:
        """Whether somebody should have a look."""
        return self.severity >= Health.DEGRADED.severity


_HEALTH_SEVERITY = {health: rank for rank, health in enumerate(Health)}
