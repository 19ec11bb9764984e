"""Log lines: one per message, even if the message contains control characters."""

from __future__ import annotations

import json
import logging

import pytest

from hopper.process.logs import set_up_logging

FORGED = "ok\n2026-01-01 00:00:00,000 INFO    hopper: web: Running → Terminated\x1b[31m\x00\r\x85\u2028end"


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger("hopper"), "level", logging.NOTSET)


def test_control_characters_in_a_message_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(verbose=False, json_logs=False)
    logging.getLogger("hopper").info("web: Paused → Running: %s", FORGED)
    log = capsys.readouterr().err
    assert log.count("\n") == 1
    assert log.endswith(
        "web: Paused → Running: ok\\n2026-01-01 00:00:00,000 INFO    hopper: web: Running → Terminated"
        "\\x1b[31m\\x00\\r\\x85\\u2028end\n"
    )


def test_a_traceback_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(verbose=False, json_logs=False)
    try:
        raise ValueError("no\nway")
    except ValueError:
        logging.getLogger("hopper").exception("failed")
    assert "Traceback (most recent call last):\n" in capsys.readouterr().err


def test_json_keeps_the_message_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(verbose=False, json_logs=True)
    logging.getLogger("hopper").info("%s", FORGED, extra={"fields": {"instance": "web"}})
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["message"], entry["instance"], entry["level"]) == (FORGED, "web", "info")
