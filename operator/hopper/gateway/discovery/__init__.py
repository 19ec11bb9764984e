"""Search, health, events and heartbeats of instances, on top of the indexes in `hopper.registry`."""

from hopper.gateway.discovery.catalogue import Catalogue
from hopper.gateway.discovery.health import HealthIndex, HealthMetrics, HealthRollUp
from hopper.gateway.discovery.heartbeat_writer import HeartbeatWriter
from hopper.gateway.discovery.journal import EventKind, Journal, JournalEntry
from hopper.gateway.discovery.search import ANY_INSTANCE, Criteria, find_instances, possible_parents
from hopper.gateway.discovery.waiters import InstanceWaiters, UntilDisconnected

__all__ = [
    "ANY_INSTANCE",
    "Catalogue",
    "Criteria",
    "EventKind",
    "HealthIndex",
    "HealthMetrics",
    "HealthRollUp",
    "HeartbeatWriter",
    "InstanceWaiters",
    "Journal",
    "JournalEntry",
    "UntilDisconnected",
    "find_instances",
    "possible_parents",
]
