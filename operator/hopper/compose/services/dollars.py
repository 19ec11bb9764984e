"""Kubernetes replaces `$(NAME)` in values, commands and arguments, and halves `$$`; compose does neither."""

import re
from collections.abc import Collection

_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_SEVERAL = re.compile(r"\${2,}")


def literal(text: str, variables: Collection[str]) -> str:
    """Write a text so that Kubernetes makes of it the text itself.

    `variables` are the names that it knows in that place: references to others it leaves alone.
    """
    doubled = _SEVERAL.sub(lambda match: match[0] * 2, str(text))
    return _REFERENCE.sub(lambda match: f"${match[0]}" if match[1] in variables else match[0], doubled)
