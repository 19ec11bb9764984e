"""Garbage collection, tuned for a process that loads much once and keeps it."""

import gc

_NEW_OBJECTS = 20_000


def collect_seldom() -> None:
    """Look for garbage after every 20,000 new objects; call it before much is imported.

    By default Python looks through all young objects after every 700 new ones, and soon through everything there is.
    """
    gc.set_threshold(_NEW_OBJECTS, 20, 50)


def keep_what_is_loaded() -> None:
    """Leave what is loaded by now out of all further looks."""
    gc.freeze()
