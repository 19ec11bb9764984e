"""Enumerations in the specs and statuses of the API."""

from enum import StrEnum


class Scope(StrEnum):
    """Place of an instance in the hierarchy."""

    GLOBAL = "Global"
    PROJECT = "Project"
    ORCHESTRATION = "Orchestration"
    PERSONAL = "Personal"
    FAMILY = "Family"
    EVENT = "Event"
    FEDERATED = "Federated"


class InstanceType(StrEnum):
    """Treatment of an instance's replicas and volumes."""

    SINGLETON = "Singleton"
    PERSISTENT = "Persistent"
    EPHEMERAL = "Ephemeral"


class DesiredState(StrEnum):
    """Desired state of an instance, from least to most restrictive."""

    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPED = "Stopped"
    ARCHIVED = "Archived"
    TERMINATED = "Terminated"

    @property
    def severity(self) -> int:
        """Rank by restrictiveness, from 0 for Running to 4 for Terminated."""
        return _SEVERITY[self]


_SEVERITY = {state: rank for rank, state in enumerate(DesiredState)}


class Phase(StrEnum):
    """Summary of an instance's place in its lifecycle. It can always be recomputed from observations."""

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
    """Behavior when an instance is in phase Error."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class RoutingStrategy(StrEnum):
    """Strategy that selects an instance for a task."""

    INTELLIGENT = "Intelligent"
    RULES = "Rules"


class RoutingFallback(StrEnum):
    """Strategy to use when the first one finds no instance."""

    RULES = "Rules"


class PortProtocol(StrEnum):
    """Transport protocol of a port."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class VolumeType(StrEnum):
    """Source of a volume's data."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"
    CONFIG = "config"


class SecurityProfile(StrEnum):
    """Permissions of a workload's pods, named after the Pod Security Standards."""

    RESTRICTED = "Restricted"
    BASELINE = "Baseline"


class Health(StrEnum):
    """Health of an instance, from best to worst. The health of a subtree is the worst health in it."""

    INACTIVE = "inactive"
    HEALTHY = "healthy"
    PROGRESSING = "progressing"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"
    UNHEALTHY = "unhealthy"

    @property
    def severity(self) -> int:
        """Rank from 0 for inactive to 5 for unhealthy."""
        return _HEALTH_SEVERITY[self]

    @property
    def is_trouble(self) -> bool:
        """Whether the instance needs attention."""
        return self.severity >= Health.DEGRADED.severity


_HEALTH_SEVERITY = {health: rank for rank, health in enumerate(Health)}
