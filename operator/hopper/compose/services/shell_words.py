"""Splitting of command lines as docker compose does it, and references to variables in shell scripts."""

from dataclasses import dataclass

_OPERATORS = frozenset(";&|<>")
_QUOTES = frozenset("'\"")
_SPACE = frozenset(" \t\r\n")
_ESCAPES = {"t": "\t", "n": "\n"}


@dataclass(frozen=True, slots=True)
class SplitCommandLine:
    """The words of a command line. `is_cut` is whether a shell operator ended it."""

    words: tuple[str, ...]
    is_cut: bool = False
    has_open_quote: bool = False


def split_command_line(text: str) -> SplitCommandLine:
    """Split a command line into words.

    Quotes and backslashes have their usual meaning. The content of backticks and `$()` is neither split nor run.
    """
    words: list[str] = []
    word: str | None = None
    closing = ""
    is_escaped = False
    for char in text:
        if is_escaped:
            word = (word or "") + _ESCAPES.get(char, char)
            is_escaped = False
        elif char == "\\" and closing != "'":
            is_escaped, word = True, word or ""
        elif closing:
            word = (word or "") + ("" if char == closing and char in _QUOTES else char)
            closing = "" if char == closing else closing
        elif char in _SPACE or char in _OPERATORS:
            # The file descriptor of a redirection, as in 2>, is not a word.
            if word is not None and not (char == ">" and word[:1].isdigit()):
                words.append(word)
            word = None
            if char in _OPERATORS:
                return SplitCommandLine(tuple(words), is_cut=True)
        else:
            closing = _closing_character(char, word)
            word = (word or "") + ("" if char in _QUOTES else char)
    if word is not None:
        words.append(word)
    return SplitCommandLine(tuple(words), has_open_quote=bool(closing or is_escaped))


def _closing_character(char: str, word: str | None) -> str:
    """Return the character that ends a quotation or substitution which starts with `char`, or nothing."""
    if char == "(":
        return ")" if word and word.endswith("$") else ""
    return char if char in "'\"`" else ""


def shell_variable_reference(script: str, position: int, name: str) -> str:
    """Return a reference to a variable for a position in a script, suited to the quotes that are open there."""
    match _open_quote(script, position):
        case '"':
            return f"${{{name}}}"
        case "'":
            return f"'\"${{{name}}}\"'"
        case _:
            return f'"${{{name}}}"'


def _open_quote(script: str, position: int) -> str:
    quote, is_escaped = "", False
    for char in script[:position]:
        if is_escaped:
            is_escaped = False
        elif char == "\\" and quote != "'":
            is_escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in _QUOTES:
            quote = char
    return quote
