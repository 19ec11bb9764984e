"""How things are said: messages end up in conditions and in the history, which must not grow with what they tell of."""

LONGEST_MESSAGE = 1024


def some(names: tuple[str, ...], most: int = 5) -> str:
    """Name the first few, and count the rest."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shortened(message: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return the message, without its end where it is too long."""
    return message if len(message) <= longest else f"{message[: longest - 1]}…"
