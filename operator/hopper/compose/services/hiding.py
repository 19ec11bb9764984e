"""Finds secrets in command lines and puts references to variables in their place.

A command line names its secrets by options (`--requirepass x`, `-px`), assignments (`PGPASSWORD=x`) and URLs.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hopper.compose.secret_names import URL_PASSWORD, is_secret_name, is_switch

_ASSIGNED = re.compile(r"['\"]?-{0,2}(?P<name>[A-Za-z_][\w.-]*)=(?P<value>.+)", re.DOTALL)
_OPTION = re.compile(r"-{1,2}(?P<name>[A-Za-z][\w.-]*)")
_NOT_A_VALUE = re.compile(r"[$/@<-]|\./")
_ASKED_FOR = re.compile(r"[_.-](stdin|prompt|file)$")
_WORD = re.compile(r"(?:'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|[^\s'\"|&;<>()])+", re.DOTALL)
_QUOTES = "'\""
# Short options that take a password, by program; with a value attached, or as the next word.
_ATTACHED = ((re.compile(r"(mysql|mariadb)[\w-]*|mysqladmin"), "-p"),)
_FOLLOWING = (
    (re.compile(r"(redis|valkey|keydb)-cli"), ("-a", "--pass")),
    (re.compile(r"mongo\w*|cypher-shell"), ("-p",)),
    (re.compile(r"sqlcmd|mosquitto_\w+"), ("-P",)),
    (re.compile(r"curl"), ("-u", "--user")),
    (re.compile(r"ldap\w+"), ("-w",)),
)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Where a secret stands in a text, and what to call it."""

    start: int
    end: int
    hint: str = "VALUE"


def spans_in_words(words: Sequence[str], known: Iterable[str] = ()) -> list[list[Span]]:
    """Return for each word where secrets stand in it. `known` are values that are secret wherever they stand."""
    found: list[list[Span]] = [[] for _ in words]
    for index, span in _by_rules(words, scripts=True):
        found[index].append(span)
    for index, word in enumerate(words):
        if re.search(r"\s", word):
            found[index] += _in_script(word)
        found[index] += _literal(word, known)
    return [_disjoint(spans) for spans in found]


def spans_in_script(script: str, known: Iterable[str] = ()) -> list[Span]:
    """The same for a line that a shell runs."""
    return _disjoint([*_in_script(script), *_literal(script, known)])


def replaced(text: str, spans: Iterable[Span], reference: Callable[[Span], str], rest: Callable[[str], str]) -> str:
    """Return the text with a reference in the place of each span; `rest` is applied to what stands between."""
    parts, position = [], 0
    for span in spans:
        parts += [rest(text[position : span.start]), reference(span)]
        position = span.end
    return "".join([*parts, rest(text[position:])])


def shell_reference(script: str, position: int, name: str) -> str:
    """Return what makes a shell put in a variable at that place, within the quotes that are open there."""
    match _open_quote(script, position):
        case '"':
            return f"${{{name}}}"
        case "'":
            return f"'\"${{{name}}}\"'"
        case _:
            return f'"${{{name}}}"'


def _by_rules(words: Sequence[str], *, scripts: bool = False) -> Iterator[tuple[int, Span]]:
    """Yield the secrets and the numbers of their words; words may be `scripts`, which are read on their own."""
    program = ""
    option = ""
    for index, word in enumerate(words):
        bare = word.strip(_QUOTES)
        lead = len(word) - len(word.lstrip(_QUOTES))
        if option and _is_secret(option, bare):
            yield index, Span(lead, lead + len(bare), option)
            option = ""
            continue
        option = ""
        if not (scripts and not word.startswith("-") and re.search(r"\s", word)):
            yield from ((index, span) for span in _inside(word, program))
        if not program and not bare.startswith("-") and "=" not in bare:
            program = bare.rpartition("/")[2]
        elif matched := _OPTION.fullmatch(bare):
            name = matched["name"]
            takes = any(names.fullmatch(program) and bare in options for names, options in _FOLLOWING)
            if takes or (is_secret_name(name) and not _ASKED_FOR.search(name)):
                option = name if len(name) > 1 else "password"
        elif bare in _SUBCOMMANDS:
            program = bare


# Programs that are run by others, as in `docker-entrypoint.sh mysqld` or `sh -c mysql`, start the search anew.
_SUBCOMMANDS = frozenset({"redis-cli", "valkey-cli", "mysql", "mysqladmin", "mariadb", "mariadb-admin", "mongosh"})


def _inside(word: str, program: str) -> Iterator[Span]:
    for match in URL_PASSWORD.finditer(word):
        yield Span(*match.span("secret"), "URL_PASSWORD")
    assigned = _ASSIGNED.fullmatch(word)
    if assigned and is_secret_name(assigned["name"]):
        value = assigned["value"].strip(_QUOTES)
        if _is_secret(assigned["name"], value):
            start = assigned.start("value") + len(assigned["value"]) - len(assigned["value"].lstrip(_QUOTES))
            yield Span(start, start + len(value), assigned["name"])
    for names, option in _ATTACHED:
        value = word[len(option) :].strip(_QUOTES)
        if names.fullmatch(program) and word.startswith(option) and value and not value.startswith("$"):
            start = word.index(value, len(option))
            yield Span(start, start + len(value), "password")


def _is_secret(option: str, value: str) -> bool:
    """Tell whether a value can be the secret of an option: no variable, path, switch, or number of tokens."""
    if not value or _NOT_A_VALUE.match(value) or is_switch(value):
        return False
    return not value.isdecimal() or "pass" in option.lower()


def _in_script(script: str, depth: int = 0) -> Iterator[Span]:
    words: list[re.Match[str]] = []
    end = 0
    for match in _WORD.finditer(script):
        if re.search(r"[|&;()\n]", script[end : match.start()]):
            yield from _of_command(words, depth)
            words = []
        words.append(match)
        end = match.end()
    yield from _of_command(words, depth)


def _of_command(words: Sequence[re.Match[str]], depth: int) -> Iterator[Span]:
    for index, span in _by_rules([match[0] for match in words]):
        start = words[index].start()
        yield Span(start + span.start, start + span.end, span.hint)
    for match in words:
        inner = match[0].strip(_QUOTES)
        if depth < 2 and inner != match[0] and re.search(r"\s", inner):
            start = match.start() + match[0].index(inner)
            yield from (Span(start + s.start, start + s.end, s.hint) for s in _in_script(inner, depth + 1))


def _literal(text: str, known: Iterable[str]) -> Iterator[Span]:
    for value in known:
        for match in re.finditer(re.escape(value), text):
            yield Span(*match.span())


def _disjoint(spans: Iterable[Span]) -> list[Span]:
    """Return the spans in order; of those that overlap, the first and longest."""
    result: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if span.start < span.end and (not result or span.start >= result[-1].end):
            result.append(span)
    return result


def _open_quote(script: str, position: int) -> str:
    quote, escaped = "", False
    for char in script[:position]:
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in _QUOTES:
            quote = char
    return quote
