"""Splits a command line into words, as docker compose does: quotes and backslashes, but no shell."""

from dataclasses import dataclass

_OPERATORS = frozenset(";&|<>")
_QUOTES = frozenset("'\"")
_SPACE = frozenset(" \t\r\n")
_ESCAPES = {"t": "\t", "n": "\n"}


@dataclass(frozen=True, slots=True)
class Words:
    """The words. `cut` tells that an operator of the shell ended them; `unfinished` that a quote is not closed."""

    words: tuple[str, ...]
    cut: bool = False
    unfinished: bool = False


def split_words(text: str) -> Words:
    """Return the words of a command line. What stands in backticks or `$()` is not split, and not run."""
    words: list[str] = []
    word: str | None = None
    closing = ""
    escaped = False
    for char in text:
        if escaped:
            word = (word or "") + _ESCAPES.get(char, char)
            escaped = False
        elif char == "\\" and closing != "'":
            escaped, word = True, word or ""
        elif closing:
            word = (word or "") + ("" if char == closing and char in _QUOTES else char)
            closing = "" if char == closing else closing
        elif char in _SPACE or char in _OPERATORS:
            # The number of a file that is written to, as in 2>, is no word.
            if word is not None and not (char == ">" and word[:1].isdigit()):
                words.append(word)
            word = None
            if char in _OPERATORS:
                return Words(tuple(words), cut=True)
        else:
            closing = _closing(char, word)
            word = (word or "") + ("" if char in _QUOTES else char)
    if word is not None:
        words.append(word)
    return Words(tuple(words), unfinished=bool(closing or escaped))


def _closing(char: str, word: str | None) -> str:
    """Return the character that ends what begins with this one; nothing where it begins nothing."""
    if char == "(":
        return ")" if word and word.endswith("$") else ""
    return char if char in "'\"`" else ""
