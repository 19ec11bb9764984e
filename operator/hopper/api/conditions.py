"""Condition types and reasons, following the kstatus conventions. Hopper writes no other reasons."""

from enum import StrEnum


class ConditionType(StrEnum):
    """Types in `status.conditions`. Ready is always present; Reconciling, Stalled and Warning only while True."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    HIERARCHY_VALID = "HierarchyValid"
    TEMPLATE_RESOLVED = "TemplateResolved"
    WORKLOAD_AVAILABLE = "WorkloadAvailable"
    DOMAINS_ACCEPTED = "DomainsAccepted"
    HEARTBEAT = "Heartbeat"
    WARNING = "Warning"


class Reason(StrEnum):
    """Reason for a condition, a transition or an Event."""

    # The instance is in its effective state.
    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPED = "Stopped"
    ARCHIVED = "Archived"
    TERMINATED = "Terminated"
    INHERITED_FROM = "InheritedFrom"

    # The instance is moving towards its effective state.
    DESIRED_STATE = "DesiredState"
    RESTART_REQUESTED = "RestartRequested"
    RESTART_POLICY = "RestartPolicy"
    SPEC_CHANGED = "SpecChanged"
    WORKLOAD_AVAILABLE = "WorkloadAvailable"
    STARTING = "Starting"
    STOPPING = "Stopping"
    BACK_OFF = "BackOff"
    PARENT_NOT_READY = "ParentNotReady"
    CHILDREN_STOPPING = "ChildrenStopping"
    DELETION_BLOCKED = "DeletionBlocked"
    DEPENDENCY_NOT_READY = "DependencyNotReady"
    ROLLING_OUT = "RollingOut"
    TAKING_OVER = "TakingOver"
    NAME_IN_USE = "NameInUse"
    RENAMED = "Renamed"

    # The template and the rendered service.
    TEMPLATE_FOUND = "TemplateFound"
    TEMPLATE_NOT_FOUND = "TemplateNotFound"
    SERVICE_INVALID = "ServiceInvalid"
    RUNS_WITH_WARNINGS = "RunsWithWarnings"
    NOTHING_RUNS = "NothingRuns"
    DOMAINS_ACCEPTED = "DomainsAccepted"
    DOMAIN_NOT_ALLOWED = "DomainNotAllowed"
    DOMAIN_TAKEN = "DomainTaken"

    # Heartbeats and health.
    HEARTBEAT_IN_TIME = "HeartbeatInTime"
    HEARTBEAT_OVERDUE = "HeartbeatOverdue"
    HEARTBEAT_LOST = "HeartbeatLost"
    NOBODY_LISTENS = "NobodyListens"
    HEARTBEAT_IS_BACK = "HeartbeatIsBack"
    NOT_OBSERVED = "NotObserved"
    REPORTED = "Reported"

    # The hierarchy.
    PARENT_ACCEPTED = "ParentAccepted"
    ROOT = "Root"
    PARENT_NOT_FOUND = "ParentNotFound"
    PARENT_IS_BEING_DELETED = "ParentIsBeingDeleted"
    ORPHANED = "Orphaned"
    PARENT_REQUIRED = "ParentRequired"
    WRONG_PARENT_SCOPE = "WrongParentScope"
    PARENT_CYCLE = "ParentCycle"
    TOO_MANY_CHILDREN = "TooManyChildren"
    TOO_DEEP = "TooDeep"

    # The instance is stalled until a user intervenes.
    CONFIG_INVALID = "ConfigInvalid"
    SPEC_INVALID = "SpecInvalid"
    HOOK_FAILED = "HookFailed"
    RESTARTS_EXHAUSTED = "RestartsExhausted"
    RESTART_NEVER = "RestartNever"
    ALREADY_FINAL = "AlreadyFinal"
    RENAME_REFUSED = "RenameRefused"
    WRITE_REFUSED = "WriteRefused"
    TTL_EXPIRED = "TTLExpired"

    # Failures of the workload, with the reasons that Kubernetes itself uses where it has one.
    CRASH_LOOP = "CrashLoopBackOff"
    OUT_OF_MEMORY = "OOMKilled"
    IMAGE_PULL_FAILED = "ImagePullBackOff"
    INVALID_IMAGE_NAME = "InvalidImageName"
    CONTAINER_CONFIG_INVALID = "CreateContainerConfigError"
    CONTAINER_START_FAILED = "RunContainerError"
    UNSCHEDULABLE = "Unschedulable"
    PODS_REFUSED = "PodsRefused"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"

    # Events about the hierarchy.
    CHILD_ADDED = "ChildAdded"
    CHILD_REMOVED = "ChildRemoved"
    PARENT_CHANGED = "ParentChanged"
