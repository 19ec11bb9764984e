"""Takes a list apart while it arrives."""

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import suppress

from hopper.api.resources import Manifest

# Nothing but metadata stands before it. Go writes an empty list as null.
_ITEMS = re.compile(r'"items"\s*:\s*(\[|null)')
_BETWEEN = re.compile(r"[\s,]*")
_json = json.JSONDecoder()


class ListReader:
    """Reads a list of the Kubernetes API, as JSON in chunks of any size, into objects.

    Only what is incomplete is kept as text, so that a list takes no more memory than what is made of it.
    """

    def __init__(self) -> None:
        self._utf8 = getincrementaldecoder("utf-8")()
        self._text = ""  # what has arrived and is not taken apart yet
        self._head = ""  # what stands before the items, once they have begun
        self._ended = False

    def feed(self, chunk: bytes) -> list[Manifest]:
        """Return the objects that are complete with this chunk. Raises `ValueError` for what is not UTF-8."""
        self._text += self._utf8.decode(chunk)
        if not self._head:
            self._begin()
        return list(self._objects()) if self._head and not self._ended else []

    def version(self) -> str:
        """Return the version of the whole list. Raises `ValueError` where it is not complete, or no list."""
        with suppress(ValueError, LookupError, TypeError):
            version: str = json.loads(f"{self._head}[{self._text}")["metadata"]["resourceVersion"]
            if self._ended:
                return version
        raise ValueError(f"the list breaks off, or it is none: {(self._head + self._text)[:200]}")

    def _begin(self) -> None:
        found = _ITEMS.search(self._text)
        if found is None:
            return
        self._head, rest = self._text[: found.start(1)], self._text[found.end() :]
        self._ended = found[1] == "null"
        self._text = f"]{rest}" if self._ended else rest

    def _objects(self) -> Iterator[Manifest]:
        place = 0
        while True:
            place = _BETWEEN.match(self._text, place).end()  # type: ignore[union-attr]  # it may match nothing
            if self._text.startswith("]", place):
                self._ended = True
                break
            try:
                found, end = _json.raw_decode(self._text, place)
            except ValueError:
                break  # the rest of it is still to come
            yield found
            place = end
        self._text = self._text[place:]
