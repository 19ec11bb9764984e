"""Extraction of secrets from command lines and shell scripts into variables.

Secrets in command lines are the values of options (`--requirepass x`, `-px`), assignments (`PGPASSWORD=x`), and
passwords in URLs.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hopper.compose.reading.tracked_text import tracked_secrets
from hopper.compose.secret_detection import URL_PASSWORD, is_secret_name, is_trivial_value
from hopper.compose.secret_formats import find_tokens
from hopper.compose.services.service_secret import ServiceSecret

_ASSIGNMENT = re.compile(r"['\"]?-{0,2}(?P<name>[A-Za-z_][\w.-]*)=(?P<value>.+)", re.DOTALL)
_OPTION = re.compile(r"-{1,2}(?P<name>[A-Za-z][\w.-]*)")
_NOT_A_SECRET = re.compile(r"[$/@<-]|\./")
# The program reads the secret from its input or from a file.
_INDIRECT_OPTION = re.compile(r"[_.-](stdin|prompt|file)$")
_WORD = re.compile(r"(?:'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|[^\s'\"|&;<>()])+", re.DOTALL)
_QUOTES = "'\""
_MAX_SCRIPT_DEPTH = 2
# Short options for a password by program: with the password attached, and with the password as the next word.
_ATTACHED = ((re.compile(r"(mysql|mariadb)[\w-]*|mysqladmin"), "-p"),)
_FOLLOWING = (
    (re.compile(r"(redis|valkey|keydb)-cli"), ("-a", "--pass")),
    (re.compile(r"mongo\w*|cypher-shell"), ("-p",)),
    (re.compile(r"sqlcmd|mosquitto_\w+"), ("-P",)),
    (re.compile(r"curl"), ("-u", "--user")),
    (re.compile(r"ldap\w+"), ("-w",)),
)
# Programs that another program runs, as in `docker-entrypoint.sh mysqld` or `sh -c mysql`.
_SUBCOMMANDS = frozenset({"redis-cli", "valkey-cli", "mysql", "mysqladmin", "mariadb", "mariadb-admin", "mongosh"})


@dataclass(frozen=True, slots=True, order=True)
class SecretSpan:
    """Position of a secret in a text. `hint` becomes part of the name of its variable."""

    start: int
    end: int
    hint: str = "VALUE"


@dataclass(frozen=True, slots=True)
class SecretExtraction:
    """Move of secrets from the command lines of one service into its Secret.

    `secret_values` are secret wherever they occur. `variables` are the names of all variables of the service.
    """

    secret_values: tuple[str, ...]
    secret: ServiceSecret
    variables: set[str]

    def known_values(self, words: Iterable[str]) -> list[str]:
        """Return the values that are secret in these words, including those of variables that were inserted."""
        return sorted({*self.secret_values, *(secret for word in words for secret in tracked_secrets(word))})

    def variable_for(self, text: str, span: SecretSpan) -> str:
        """Return the name of a variable that holds the secret at a position in a text."""
        return self.secret.variable_for(str(text[span.start : span.end]), span.hint, self.variables)


def find_secrets_in_words(words: Sequence[str], known: Iterable[str] = ()) -> list[list[SecretSpan]]:
    """Return the positions of secrets in each word. `known` values are secret wherever they occur."""
    found: list[list[SecretSpan]] = [[] for _ in words]
    for index, span in _find_by_options(words, skip_scripts=True):
        found[index].append(span)
    for index, word in enumerate(words):
        if re.search(r"\s", word):
            found[index] += _find_in_script(word)
        found[index] += _find_by_format(word)
        found[index] += _find_known(word, known)
    return [_without_overlaps(spans) for spans in found]


def find_secrets_in_script(script: str, known: Iterable[str] = ()) -> list[SecretSpan]:
    """Return the positions of secrets in a shell script. `known` values are secret wherever they occur."""
    return _without_overlaps([*_find_in_script(script), *_find_by_format(script), *_find_known(script, known)])


def replace_secrets(
    text: str, spans: Iterable[SecretSpan], reference: Callable[[SecretSpan], str], convert_rest: Callable[[str], str]
) -> str:
    """Return the text with a reference in place of each span; `convert_rest` is applied to the text in between."""
    parts, position = [], 0
    for span in spans:
        parts += [convert_rest(text[position : span.start]), reference(span)]
        position = span.end
    return "".join([*parts, convert_rest(text[position:])])


def _find_by_options(words: Sequence[str], *, skip_scripts: bool = False) -> Iterator[tuple[int, SecretSpan]]:
    """Yield the secrets in a command line, each with the index of its word.

    With `skip_scripts`, words that are shell scripts are skipped, because they are searched separately.
    """
    program = ""
    option = ""
    for index, word in enumerate(words):
        bare = word.strip(_QUOTES)
        lead = len(word) - len(word.lstrip(_QUOTES))
        if option and _is_secret_value(option, bare):
            yield index, SecretSpan(lead, lead + len(bare), option)
            option = ""
            continue
        option = ""
        if not (skip_scripts and not word.startswith("-") and re.search(r"\s", word)):
            yield from ((index, span) for span in _find_in_word(word, program))
        if not program and not bare.startswith("-") and "=" not in bare:
            program = bare.rpartition("/")[2]
        elif match := _OPTION.fullmatch(bare):
            name = match["name"]
            is_password = any(names.fullmatch(program) and bare in options for names, options in _FOLLOWING)
            if is_password or (is_secret_name(name) and not _INDIRECT_OPTION.search(name)):
                option = name if len(name) > 1 else "password"
        elif bare in _SUBCOMMANDS:
            program = bare


def _find_in_word(word: str, program: str) -> Iterator[SecretSpan]:
    for match in URL_PASSWORD.finditer(word):
        yield SecretSpan(*match.span("secret"), "URL_PASSWORD")
    assignment = _ASSIGNMENT.fullmatch(word)
    if assignment and is_secret_name(assignment["name"]):
        value = assignment["value"].strip(_QUOTES)
        if _is_secret_value(assignment["name"], value):
            start = assignment.start("value") + len(assignment["value"]) - len(assignment["value"].lstrip(_QUOTES))
            yield SecretSpan(start, start + len(value), assignment["name"])
    for names, option in _ATTACHED:
        value = word[len(option) :].strip(_QUOTES)
        if names.fullmatch(program) and word.startswith(option) and value and not value.startswith("$"):
            start = word.index(value, len(option))
            yield SecretSpan(start, start + len(value), "password")


def _is_secret_value(option: str, value: str) -> bool:
    """Whether the value of an option can be a secret, and is not a variable, path, boolean, or number of tokens."""
    if not value or _NOT_A_SECRET.match(value) or is_trivial_value(value):
        return False
    return not value.isdecimal() or "pass" in option.lower()


def _find_in_script(script: str, depth: int = 0) -> Iterator[SecretSpan]:
    words: list[re.Match[str]] = []
    end = 0
    for match in _WORD.finditer(script):
        if re.search(r"[|&;()\n]", script[end : match.start()]):
            yield from _find_in_simple_command(words, depth)
            words = []
        words.append(match)
        end = match.end()
    yield from _find_in_simple_command(words, depth)


def _find_in_simple_command(words: Sequence[re.Match[str]], depth: int) -> Iterator[SecretSpan]:
    for index, span in _find_by_options([match[0] for match in words]):
        start = words[index].start()
        yield SecretSpan(start + span.start, start + span.end, span.hint)
    for match in words:
        inner = match[0].strip(_QUOTES)
        if depth < _MAX_SCRIPT_DEPTH and inner != match[0] and re.search(r"\s", inner):
            start = match.start() + match[0].index(inner)
            for span in _find_in_script(inner, depth + 1):
                yield SecretSpan(start + span.start, start + span.end, span.hint)


def _find_by_format(text: str) -> Iterator[SecretSpan]:
    for start, end in find_tokens(text):
        yield SecretSpan(start, end, "TOKEN")


def _find_known(text: str, known: Iterable[str]) -> Iterator[SecretSpan]:
    for value in known:
        for match in re.finditer(re.escape(value), text):
            yield SecretSpan(*match.span())


def _without_overlaps(spans: Iterable[SecretSpan]) -> list[SecretSpan]:
    """Return the spans in order. Of spans that overlap, the first and longest one is kept."""
    result: list[SecretSpan] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if span.start < span.end and (not result or span.start >= result[-1].end):
            result.append(span)
    return result
