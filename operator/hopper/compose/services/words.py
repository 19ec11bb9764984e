"""Splits a command line into words, as docker compose does: quotes and backslashes, but no shell."""

from dataclasses import dataclass

_OPERATORS = frozenset(";&|<>")
_SPACE = frozenset(" \t\r\n")
_ESCAPES = {"t": "\t", "n": "\n"}


@dataclass(frozen=True, slots=True)
class Words:
    """The words. `cut` tells that an operator of the shell ended them; `unfinished` that a quote is not closed."""

    words: tuple[str, ...]
    cut: bool = False
    unfinished: bool = False


def split_words(text: str) -> Words:
    """Return the words of a command line."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    escaped = False
    for char in text:
        if escaped:
            word = (word or "") + _ESCAPES.get(char, char)
            escaped = False
        elif char == "\\" and quote != "'":
            escaped, word = True, word or ""
        elif quote:
            if char == quote:
                quote = ""
            else:
                word = (word or "") + char
        elif char in "'\"":
            quote, word = char, word or ""
        elif char in _SPACE or char in _OPERATORS:
            if word is not None:
                words.append(word)
                word = None
            if char in _OPERATORS:
                return Words(tuple(words), cut=True)
        else:
            word = (word or "") + char
    if word is not None:
        words.append(word)
    return Words(tuple(words), unfinished=bool(quote or escaped))
