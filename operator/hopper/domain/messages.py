"""Bounded texts for conditions and the history, whose size must not grow with the number of objects they name."""

LONGEST_MESSAGE = 1024


def join_names(names: tuple[str, ...], limit: int = 5) -> str:
    """Return the first `limit` names separated by commas, and the number of names left out."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def truncate(message: str, limit: int = LONGEST_MESSAGE) -> str:
    """Return the message, cut to `limit` characters; an ellipsis marks the cut."""
    return message if len(message) <= limit else f"{message[: limit - 1]}…"
