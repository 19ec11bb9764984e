"""How a process of Hopper's logs: to stderr, as text or as JSON."""

import json
import logging
import re
import sys
from typing import Any

# Where kopf tells, with a traceback, of each task of its that fails: whoever watches says it once, in our words.
_TOLD_OTHERWISE = ("kopf._cogs.aiokits.aiotasks", "kopf._core.reactor.orchestration", "kopf._core.reactor.running")

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def set_up_logging(*, verbose: bool, json_logs: bool) -> None:
    """Log to stderr: Hopper at INFO, what it is built on at WARNING; everything at DEBUG when verbose."""
    handler = logging.StreamHandler(sys.stderr)
    text = _TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(_JsonFormatter() if json_logs else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logging.getLogger("hopper").setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in _TOLD_OTHERWISE:
        logging.getLogger(name).setLevel(logging.NOTSET if verbose else logging.CRITICAL)


class _TextFormatter(logging.Formatter):
    """A message is one line, whatever is in it: nobody whose words are logged writes lines of their own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = _CONTROL.sub(lambda it: it[0].encode("unicode_escape").decode(), record.message)
        return super().formatMessage(record)


class _JsonFormatter(logging.Formatter):
    """One JSON object a line; a record's `fields` are members of it."""

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
