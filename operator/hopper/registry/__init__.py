"""The registry: in-memory indexes of what exists, fed by the watch."""

from hopper.registry.beats import Beats, News
from hopper.registry.catalogue import Catalogue
from hopper.registry.children import Children
from hopper.registry.criteria import Criteria
from hopper.registry.discovery import find, possible_parents
from hopper.registry.flusher import Flusher
from hopper.registry.health import Healths, Metrics, RollUp
from hopper.registry.index import Change, NamespaceIndex, Registry
from hopper.registry.journal import Entry, EventKind, Journal
from hopper.registry.templates import Templates

__all__ = [
    "Beats",
    "Catalogue",
    "Change",
    "Children",
    "Criteria",
    "Entry",
    "EventKind",
    "Flusher",
    "Healths",
    "Journal",
    "Metrics",
    "NamespaceIndex",
    "News",
    "Registry",
    "RollUp",
    "Templates",
    "find",
    "possible_parents",
]
