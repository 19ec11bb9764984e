"""`entrypoint` and `command` → command and args; `healthcheck` → the same in Hopper's words."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from hopper.api.service import Healthcheck
from hopper.compose.reading.syntax import seconds, switch
from hopper.compose.reading.text import as_text, is_blank, secrets_in
from hopper.compose.section import Section
from hopper.compose.services.dollars import literal
from hopper.compose.services.hiding import Span, replaced, shell_reference, spans_in_script, spans_in_words
from hopper.compose.services.words import split_words

_MAX_WORDS = {"command": 64, "args": 256}
_TEST_KINDS = ("CMD", "CMD-SHELL", "NONE")
_MAX_TEST_WORDS, _MAX_TEST_LENGTH = 64, 4096
# What Docker does where a healthcheck is silent.
_INTERVAL, _TIMEOUT, _RETRIES = 30, 30, 3

# Returns the variable that holds a secret value, given what to call it.
Keep = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Secrecy:
    """How secrets in command lines are hidden: values `known` to be secret, and where to `keep` those found.

    `variables` are the names of all variables of the service: `$(NAME)` of another name is left alone by Kubernetes.
    """

    known: tuple[str, ...]
    keep: Keep
    variables: set[str]


def secrets_in_commands(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield the secrets that command lines and the healthcheck of a service show by themselves."""
    healthcheck = raw.get("healthcheck")
    test = healthcheck.get("test") if isinstance(healthcheck, dict) else None
    for value in (raw.get("entrypoint"), raw.get("command"), test):
        if isinstance(value, list):
            words = [as_text(word) for word in value if not isinstance(word, dict | list)]
            for word, spans in zip(words, spans_in_words(words), strict=True):
                yield from (word[span.start : span.end] for span in spans)
        elif isinstance(value, str):
            yield from (value[span.start : span.end] for span in spans_in_script(value))


def convert_command(section: Section, secrecy: Secrecy) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Return command and args of the template; None leaves those of the image."""
    entrypoint, command = section.take("entrypoint"), section.take("command")
    first, second = (_words(section, key, raw) for key, raw in (("entrypoint", entrypoint), ("command", command)))
    if first == () and second:
        # Without an entrypoint, the command is all that runs.
        first, second = second, None
    for key, words, what in (("entrypoint", first, "entrypoint"), ("command", second, "command")):
        if words == ():
            section.about.dropped(key, f"an empty list cannot take away the image's {what}", f"Write out the {what}")
    hidden = [_hidden(section, "command", words, secrecy) for words in (first, second)]
    return (
        _limited(section, "entrypoint", hidden[0], _MAX_WORDS["command"]),
        _limited(section, "command", hidden[1], _MAX_WORDS["args"]),
    )


def convert_healthcheck(section: Section, secrecy: Secrecy) -> Healthcheck | None:
    """Return the healthcheck; None where there is none, or none that could be carried over."""
    raw = section.take("healthcheck")
    if not isinstance(raw, dict) or not raw:
        return None
    if raw.keys() == {"disable"} and switch(raw["disable"]) is False:
        section.about.note("healthcheck", "it asks for nothing: Kubernetes does not know the image's own")
        return None
    inner = Section(raw, section.about, "healthcheck")
    disabled, test = switch(inner.take("disable")), _test(inner, secrecy)
    interval = _seconds(inner, "interval", _INTERVAL, 1)
    timeout = _seconds(inner, "timeout", _TIMEOUT, 1)
    start_period = _seconds(inner, "start_period", 0, 0)
    retries = _retries(inner)
    inner.drop("start_interval", "there is one interval only", "Shorten healthcheck.interval if starting takes long")
    inner.close()
    if disabled or test[:1] == ("NONE",):
        return Healthcheck(test=("NONE",))
    if not test:
        advice = "Write out the test: what the image itself brings along is not known to Kubernetes"
        section.about.dropped("healthcheck", "it has no test of its own", advice)
        return None
    return Healthcheck(
        test=test,
        interval_seconds=interval,
        timeout_seconds=timeout,
        retries=retries,
        start_period_seconds=start_period,
    )


def _words(section: Section, key: str, raw: Any) -> tuple[str, ...] | None:
    if raw is None or is_blank(raw):
        return None
    if isinstance(raw, dict):
        section.about.problem(key, "this is a mapping", "write a text or a list of words")
        return None
    if isinstance(raw, list):
        return tuple(as_text(word) for word in raw if not isinstance(word, dict | list))
    split = split_words(as_text(raw))
    if split.cut:
        advice = 'Write sh -c "…" around it if a shell shall run it all'
        section.about.changed(key, "it ends where the shell would read an operator, as for docker compose", advice)
    if split.unfinished:
        section.about.problem(key, "a quote is not closed", "close it, or write a list of words")
    return split.words


def _hidden(section: Section, key: str, words: tuple[str, ...] | None, secrecy: Secrecy) -> tuple[str, ...] | None:
    if not words:
        return None
    known = {*secrecy.known, *(secret for word in words for secret in secrets_in(word))}

    spans = spans_in_words(words, sorted(known))
    if not any(spans):
        return tuple(literal(word, secrecy.variables) for word in words)
    section.about.changed(key, "secrets in it moved into the Secret, and are referred to by $(NAME)")
    return tuple(_with_references(word, found, secrecy) for word, found in zip(words, spans, strict=True))


def _with_references(word: str, spans: Sequence[Span], secrecy: Secrecy) -> str:
    return replaced(
        word,
        spans,
        lambda span: f"$({_kept(word, span, secrecy)})",
        lambda text: literal(text, secrecy.variables),
    )


def _kept(text: str, span: Span, secrecy: Secrecy) -> str:
    return secrecy.keep(str(text[span.start : span.end]), span.hint)


def _limited(section: Section, key: str, words: tuple[str, ...] | None, limit: int) -> tuple[str, ...] | None:
    if words is None or (len(words) <= limit and max(map(len, words), default=0) <= 32768):
        return words
    section.about.dropped(key, "it is too long", "Put it into a script in the image or a config file")
    return None


def _test(inner: Section, secrecy: Secrecy) -> tuple[str, ...]:
    raw = inner.take("test")
    if raw is None or is_blank(raw) or raw in ([], ""):
        return ()
    if isinstance(raw, dict):
        inner.about.problem(inner.key("test"), "this is a mapping", "write a text or a list")
        return ()
    words = [as_text(word) for word in raw if not isinstance(word, dict | list)] if isinstance(raw, list) else None
    if words is None:
        words = ["CMD-SHELL", as_text(raw)]
    elif words[:1] and words[0] not in _TEST_KINDS:
        inner.about.changed(inner.key("test"), "it began with none of CMD, CMD-SHELL and NONE; CMD was put first")
        words = ["CMD", *words]
    if words[:1] == ["NONE"]:
        return ("NONE",)
    hidden = _hidden_test(inner, words, secrecy)
    if len(hidden) > _MAX_TEST_WORDS or max(map(len, hidden), default=0) > _MAX_TEST_LENGTH:
        inner.about.dropped(inner.key("test"), "it is too long", "Put it into a script in the image or a config file")
        return ()
    return tuple(hidden)


def _hidden_test(inner: Section, words: Sequence[str], secrecy: Secrecy) -> list[str]:
    """Return the test without secrets; a probe knows no `$(NAME)`, so that a shell has to put them in."""
    if len(words) < 2:
        return []
    known = sorted({*secrecy.known, *(secret for word in words for secret in secrets_in(word))})
    if words[0] == "CMD-SHELL":
        script = words[1]
        spans = spans_in_script(script, known)
        if words[2:]:
            advice = "Put all of it into one text"
            inner.about.dropped(inner.key("test"), "what follows the first text after CMD-SHELL is not run", advice)
    else:
        found = spans_in_words(words[1:], known)
        if not any(found):
            return [str(word) for word in words]
        script = " ".join(_quoted(word, own, secrecy) for word, own in zip(words[1:], found, strict=True))
        spans = []
        inner.about.changed(inner.key("test"), "secrets in it moved into the Secret, so that now a shell runs it")
    if spans:
        inner.about.changed(inner.key("test"), "secrets in it moved into the Secret, and are variables now")

    def reference(span: Span) -> str:
        return shell_reference(script, span.start, _kept(script, span, secrecy))

    return ["CMD-SHELL", replaced(script, spans, reference, str)]


def _quoted(word: str, spans: Sequence[Span], secrecy: Secrecy) -> str:
    """Return a word of a command as a shell would have it, with variables in the place of secrets."""
    if not spans:
        return shlex.quote(word)
    return replaced(
        word, spans, lambda span: f'"${{{_kept(word, span, secrecy)}}}"', lambda text: shlex.quote(text) if text else ""
    )


def _seconds(inner: Section, key: str, default: int, least: int) -> int:
    raw = inner.take(key)
    if raw is None or is_blank(raw):
        return default
    value: Fraction | None = seconds(raw)
    if value is None:
        inner.about.problem(inner.key(key), "this is no duration", "write it as in 1m30s")
        return default
    if value == 0 and least:
        return default
    result = min(max(ceil(value), least), 86400)
    if result != value:
        inner.about.changed(inner.key(key), f"it became {result} s: durations are whole seconds, a day at most")
    return result


def _retries(inner: Section) -> int:
    raw = inner.take("retries")
    if raw is None or is_blank(raw):
        return _RETRIES
    text = as_text(raw).strip()
    if not re.fullmatch(r"\d{1,9}", text):
        inner.about.problem(inner.key("retries"), "this is no whole number", "write one, such as 3")
        return _RETRIES
    value = int(text) or _RETRIES
    if value > 100:
        inner.about.changed(inner.key("retries"), "it became 100, the most there can be")
    return min(value, 100)
