"""What was written of each instance before: most of them have not changed since."""

from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")

_SPARE = 1000


class Texts(Generic[Key]):
    """The JSON of instances by uid, with what it was made of. `count` says how many there are: so many are kept."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._known: dict[str, tuple[Key, bytes]] = {}

    def get(self, uid: str, key: Key, write: Callable[[], bytes]) -> bytes:
        """Return what is known, if it was made of the same, or write it anew."""
        known = self._known.get(uid)
        if known is not None and known[0] == key:
            return known[1]
        text = write()
        self._known[uid] = key, text
        if len(self._known) > 2 * self._count() + _SPARE:
            self._known.clear()  # more of those who are gone than of those who are here
        return text

    def __len__(self) -> int:
        return len(self._known)
