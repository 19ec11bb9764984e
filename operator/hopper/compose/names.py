"""Names of compose → names of Kubernetes objects."""

import re
from hashlib import blake2b

MAX_NAME = 63
_HASH = 6


def object_name(text: str, limit: int = MAX_NAME) -> str:
    """Return a DNS label of at most `limit` characters; a hash tells apart what had to be shortened."""
    label = re.sub(r"[^a-z0-9-]", "-", text.lower()).strip("-") or "x"
    if len(label) <= limit:
        return label
    digest = blake2b(text.encode(errors="replace"), digest_size=_HASH // 2).hexdigest()
    return f"{label[: limit - _HASH - 1].rstrip('-')}-{digest}"


def project_name(text: str) -> str:
    """Return a project's name as docker compose makes it from a directory's."""
    return re.sub(r"[^a-z0-9_-]", "", text.lower()).strip("_-") or "project"


class Allocator:
    """Gives each thing a name of its own: the second that wants a name gets `name-2`."""

    def __init__(self, limit: int = MAX_NAME) -> None:
        self._limit = limit
        self._taken: set[str] = set()

    def allocate(self, text: str) -> str:
        """Return a free name, and keep it."""
        name, number = object_name(text, self._limit), 1
        while name in self._taken:
            number += 1
            suffix = f"-{number}"
            name = object_name(text, self._limit - len(suffix)) + suffix
        self._taken.add(name)
        return name
