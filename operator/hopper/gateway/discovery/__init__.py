"""Search, health, event journal and heartbeats of instances, which only the gateway uses."""

from hopper.gateway.discovery.catalogue import Catalogue
from hopper.gateway.discovery.criteria import Criteria
from hopper.gateway.discovery.health import HealthIndex, HealthMetrics, HealthRollUp
from hopper.gateway.discovery.heartbeat_writer import HeartbeatWriter
from hopper.gateway.discovery.journal import EventKind, Journal, JournalEntry
from hopper.gateway.discovery.search import find, possible_parents

__all__ = [
    "Catalogue",
    "Criteria",
    "EventKind",
    "HealthIndex",
    "HealthMetrics",
    "HealthRollUp",
    "HeartbeatWriter",
    "Journal",
    "JournalEntry",
    "find",
    "possible_parents",
]
