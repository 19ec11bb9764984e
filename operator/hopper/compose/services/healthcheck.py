"""Conversion of `healthcheck`."""

import re
import shlex
from collections.abc import Sequence
from math import ceil
from typing import Any

from hopper.api.service import Healthcheck
from hopper.compose.reading.short_syntax import parse_boolean, parse_seconds
from hopper.compose.reading.tracked_text import as_text, is_blank
from hopper.compose.section import Section
from hopper.compose.services.secret_extraction import (
    SecretExtraction,
    SecretSpan,
    find_secrets_in_script,
    find_secrets_in_words,
    replace_secrets,
)
from hopper.compose.services.shell_words import shell_variable_reference

_TEST_KINDS = ("CMD", "CMD-SHELL", "NONE")
_MAX_TEST_WORDS, _MAX_TEST_LENGTH = 64, 4096
# Docker's defaults.
_INTERVAL, _TIMEOUT, _RETRIES = 30, 30, 3
_MAX_SECONDS = 86400
_MAX_RETRIES = 100


def convert_healthcheck(section: Section, extraction: SecretExtraction) -> Healthcheck | None:
    """Return the healthcheck, or None if the service defines none or a test cannot be carried over."""
    raw = section.take("healthcheck")
    if not isinstance(raw, dict) or not raw:
        return None
    if raw.keys() == {"disable"} and parse_boolean(raw["disable"]) is False:
        section.reporter.note("healthcheck", "it defines no test, and Kubernetes ignores the healthcheck of the image")
        return None
    healthcheck = Section(raw, section.reporter, "healthcheck")
    is_disabled, test = parse_boolean(healthcheck.take("disable")), _convert_test(healthcheck, extraction)
    interval = _parse_seconds(healthcheck, "interval", _INTERVAL, 1)
    timeout = _parse_seconds(healthcheck, "timeout", _TIMEOUT, 1)
    start_period = _parse_seconds(healthcheck, "start_period", 0, 0)
    retries = _parse_retries(healthcheck)
    advice = "Shorten healthcheck.interval if the service starts slowly"
    healthcheck.drop("start_interval", "a healthcheck has only one interval", advice)
    healthcheck.close()
    if is_disabled or test[:1] == ("NONE",):
        return Healthcheck(test=("NONE",))
    if not test:
        advice = "Write out the test: Kubernetes ignores the healthcheck of the image"
        section.reporter.dropped("healthcheck", "it defines no test", advice)
        return None
    return Healthcheck(
        test=test,
        interval_seconds=interval,
        timeout_seconds=timeout,
        retries=retries,
        start_period_seconds=start_period,
    )


def _convert_test(healthcheck: Section, extraction: SecretExtraction) -> tuple[str, ...]:
    key, reporter, raw = healthcheck.key("test"), healthcheck.reporter, healthcheck.take("test")
    if raw is None or is_blank(raw) or raw in ([], ""):
        return ()
    if isinstance(raw, dict):
        reporter.problem(key, "the value is a mapping", "write a text or a list")
        return ()
    words = [as_text(word) for word in raw if not isinstance(word, dict | list)] if isinstance(raw, list) else None
    if words is None:
        words = ["CMD-SHELL", as_text(raw)]
    elif words[:1] and words[0] not in _TEST_KINDS:
        reporter.changed(key, "the list does not begin with CMD, CMD-SHELL or NONE, so CMD was added")
        words = ["CMD", *words]
    if words[:1] == ["NONE"]:
        return ("NONE",)
    test = _extract_secrets(healthcheck, words, extraction)
    if len(test) > _MAX_TEST_WORDS or max(map(len, test), default=0) > _MAX_TEST_LENGTH:
        reporter.dropped(key, "the test is too long", "Move it into a script in the image or in a config file")
        return ()
    return tuple(test)


def _extract_secrets(healthcheck: Section, words: Sequence[str], extraction: SecretExtraction) -> list[str]:
    """Return the test without secrets.

    Kubernetes does not replace `$(NAME)` in a probe. A test with secrets is therefore run by a shell.
    """
    if len(words) < 2:
        return []
    key, reporter = healthcheck.key("test"), healthcheck.reporter
    known_secrets = extraction.known_values(words)
    if words[0] == "CMD-SHELL":
        script = words[1]
        spans = find_secrets_in_script(script, known_secrets)
        if words[2:]:
            reporter.dropped(key, "only the first text after CMD-SHELL is run", "Put all of it into one text")
    else:
        spans_by_word = find_secrets_in_words(words[1:], known_secrets)
        if not any(spans_by_word):
            return [str(word) for word in words]
        quoted = (_quote(word, spans, extraction) for word, spans in zip(words[1:], spans_by_word, strict=True))
        script, spans = " ".join(quoted), []
        reporter.changed(key, "secrets in it were moved into the Secret, so a shell runs the test now")
    if spans:
        reporter.changed(key, "secrets in it were moved into the Secret, and replaced with variables")

    def reference(span: SecretSpan) -> str:
        return shell_variable_reference(script, span.start, extraction.variable_for(script, span))

    return ["CMD-SHELL", replace_secrets(script, spans, reference, str)]


def _quote(word: str, spans: Sequence[SecretSpan], extraction: SecretExtraction) -> str:
    """Return a word quoted for a shell, with variables instead of its secrets."""
    if not spans:
        return shlex.quote(word)
    return replace_secrets(
        word,
        spans,
        lambda span: f'"${{{extraction.variable_for(word, span)}}}"',
        lambda text: shlex.quote(text) if text else "",
    )


def _parse_seconds(healthcheck: Section, name: str, default: int, least: int) -> int:
    raw: Any = healthcheck.take(name)
    if raw is None or is_blank(raw):
        return default
    value = parse_seconds(raw)
    if value is None:
        healthcheck.reporter.problem(healthcheck.key(name), "the value is not a duration", "write it as in 1m30s")
        return default
    if value == 0 and least:
        return default
    result = min(max(ceil(value), least), _MAX_SECONDS)
    if result != value:
        message = f"the value became {result} s, because a duration is a whole number of seconds and at most a day"
        healthcheck.reporter.changed(healthcheck.key(name), message)
    return result


def _parse_retries(healthcheck: Section) -> int:
    raw: Any = healthcheck.take("retries")
    if raw is None or is_blank(raw):
        return _RETRIES
    text = as_text(raw).strip()
    key = healthcheck.key("retries")
    if not re.fullmatch(r"\d{1,9}", text):
        healthcheck.reporter.problem(key, "the value is not a whole number", "write a number such as 3")
        return _RETRIES
    value = int(text) or _RETRIES
    if value > _MAX_RETRIES:
        healthcheck.reporter.changed(key, f"the value became {_MAX_RETRIES}, the maximum")
    return min(value, _MAX_RETRIES)
