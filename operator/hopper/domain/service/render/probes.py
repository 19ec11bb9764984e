"""The healthcheck, in Kubernetes' words: one test, asked for three reasons."""

from typing import Any

from hopper.api.service import Healthcheck


def probes(check: Healthcheck | None) -> dict[str, Any]:
    """Return the probes of the container.

    Readiness takes an unhealthy pod out of the Service, liveness restarts it. A start period becomes a startup probe,
    which holds both back until the first success, and gives up when the start period and all retries are over.
    """
    if check is None or check.test[0] == "NONE":
        return {}
    found = {
        "readinessProbe": _probe(check, check.interval_seconds, check.retries),
        "livenessProbe": _probe(check, check.interval_seconds, check.retries),
    }
    if check.start_period_seconds:
        period = min(check.interval_seconds, check.start_period_seconds)
        found["startupProbe"] = _probe(check, period, -(-check.start_period_seconds // period) + check.retries)
    return found


def start_seconds(check: Healthcheck | None) -> int:
    """Return how long a start may take by the healthcheck's own account."""
    return check.start_period_seconds + check.retries * check.interval_seconds if check else 0


def _probe(check: Healthcheck, period: int, tries: int) -> dict[str, Any]:
    return {
        "exec": {"command": _command(check.test)},
        "periodSeconds": period,
        "timeoutSeconds": check.timeout_seconds,
        "failureThreshold": tries,
    }


def _command(test: tuple[str, ...]) -> list[str]:
    kind, *words = test
    return ["sh", "-c", *words] if kind == "CMD-SHELL" else list(words)
