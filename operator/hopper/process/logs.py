"""Logging of a Hopper process: to stderr, as text or as JSON."""

import json
import logging
import re
import sys
from typing import Any

_CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def set_up_logging(*, verbose: bool, json_logs: bool) -> None:
    """Log to stderr: Hopper at INFO, libraries at WARNING; everything at DEBUG when verbose."""
    handler = logging.StreamHandler(sys.stderr)
    text = _TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(_JsonFormatter() if json_logs else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logging.getLogger("hopper").setLevel(logging.DEBUG if verbose else logging.INFO)


class _TextFormatter(logging.Formatter):
    """Text formatter that keeps each message on one line.

    Control characters are escaped, because messages quote text from users and must not forge log lines.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = _CONTROL_CHARACTERS.sub(_escape, record.message)
        return super().formatMessage(record)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


class _JsonFormatter(logging.Formatter):
    """Formatter that writes one JSON object per line and adds the members of a record's `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)
