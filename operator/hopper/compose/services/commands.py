"""Conversion of `entrypoint` and `command` into `command` and `args`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hopper.compose.reading.tracked_text import as_text, is_blank
from hopper.compose.section import Section
from hopper.compose.services.secret_extraction import (
    SecretExtraction,
    SecretSpan,
    find_secrets_in_script,
    find_secrets_in_words,
    replace_secrets,
)
from hopper.compose.services.service_secret import escape_references
from hopper.compose.services.shell_words import split_command_line

_MAX_COMMAND_WORDS = 64
_MAX_ARGS_WORDS = 256
_MAX_WORD = 32768

CommandLine = tuple[str, ...] | None


def find_command_secrets(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield the secrets that the command lines and the healthcheck of a service contain in plain text."""
    healthcheck = raw.get("healthcheck")
    test = healthcheck.get("test") if isinstance(healthcheck, dict) else None
    for value in (raw.get("entrypoint"), raw.get("command"), test):
        if isinstance(value, list):
            words = [as_text(word) for word in value if not isinstance(word, dict | list)]
            for word, spans in zip(words, find_secrets_in_words(words), strict=True):
                yield from (word[span.start : span.end] for span in spans)
        elif isinstance(value, str):
            yield from (value[span.start : span.end] for span in find_secrets_in_script(value))


def convert_command(section: Section, extraction: SecretExtraction) -> tuple[CommandLine, CommandLine]:
    """Return `command` and `args` of the template; None keeps the one of the image."""
    raw_entrypoint, raw_command = section.take("entrypoint"), section.take("command")
    entrypoint = _parse_words(section, "entrypoint", raw_entrypoint)
    command = _parse_words(section, "command", raw_command)
    if entrypoint == () and command:
        # An empty entrypoint removes the one of the image, so that only the command is run.
        entrypoint, command = command, None
    for key, words in (("entrypoint", entrypoint), ("command", command)):
        if words == ():
            message = f"an empty list does not remove the {key} of the image"
            section.reporter.dropped(key, message, f"Write out the {key}")
    entrypoint, command = (_extract_secrets(section, words, extraction) for words in (entrypoint, command))
    return (
        _limit(section, "entrypoint", entrypoint, _MAX_COMMAND_WORDS),
        _limit(section, "command", command, _MAX_ARGS_WORDS),
    )


def _parse_words(section: Section, key: str, raw: Any) -> CommandLine:
    if raw is None or is_blank(raw):
        return None
    if isinstance(raw, dict):
        section.reporter.problem(key, "the value is a mapping", "write a text or a list of words")
        return None
    if isinstance(raw, list):
        return tuple(as_text(word) for word in raw if not isinstance(word, dict | list))
    split = split_command_line(as_text(raw))
    if split.is_cut:
        message = "the command line ends before the first shell operator, as with docker compose"
        section.reporter.changed(key, message, 'To run all of it in a shell, write it as sh -c "…"')
    if split.has_open_quote:
        section.reporter.problem(key, "a quote is not closed", "close it, or write a list of words")
    return split.words


def _extract_secrets(section: Section, words: CommandLine, extraction: SecretExtraction) -> CommandLine:
    if not words:
        return None
    spans_by_word = find_secrets_in_words(words, extraction.known_values(words))
    if not any(spans_by_word):
        return tuple(escape_references(word, extraction.variables) for word in words)
    message = "secrets in it were moved into the Secret, and replaced with $(NAME)"
    section.reporter.changed("command", message)
    return tuple(_with_references(word, spans, extraction) for word, spans in zip(words, spans_by_word, strict=True))


def _with_references(word: str, spans: Sequence[SecretSpan], extraction: SecretExtraction) -> str:
    return replace_secrets(
        word,
        spans,
        lambda span: f"$({extraction.variable_for(word, span)})",
        lambda text: escape_references(text, extraction.variables),
    )


def _limit(section: Section, key: str, words: CommandLine, limit: int) -> CommandLine:
    if words is None or (len(words) <= limit and max(map(len, words), default=0) <= _MAX_WORD):
        return words
    advice = "Move it into a script in the image or in a config file"
    section.reporter.dropped(key, "the command line is too long", advice)
    return None
