"""Health of the lists and watches: which requests fail, since when, and when to give up."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from hopper.adapters.kube import describe_error
from hopper.ports import ApiError, FatalError

logger = logging.getLogger(__name__)

# After a restart, the API server may forbid everything until it has loaded the RBAC rules.
_FORBIDDEN_SECONDS = 45.0


class WatchFailedError(FatalError):
    """A failed list or watch that a retry cannot repair. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class _Failure:
    code: int
    reason: str
    since: float


class WatchHealth:
    """Record of the paths whose list or watch fails at present.

    All paths usually fail together. Each kind of failure is logged once, and so is the end of the last failure.
    """

    def __init__(self, server: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._now = clock
        self._failures: dict[str, _Failure] = {}  # by path
        self._logged_codes: set[int] = set()
        self._failing_since = 0.0

    def record_failure(self, path: str, error: ApiError) -> None:
        """Record a failed request. Raise `WatchFailedError` if it is pointless to retry."""
        now, reason = self._now(), _reason(error)
        if not self._failures:
            self._failing_since = now
        previous = self._failures.get(path)
        since = previous.since if previous and previous.code == error.code else now
        self._failures[path] = _Failure(error.code, reason, since)
        if advice := self._advice(error.code, reason, now - since):
            raise WatchFailedError(advice) from error
        if error.code not in self._logged_codes:
            self._logged_codes.add(error.code)
            logger.warning("list or watch failed: %s (GET %s); retrying", reason, path)

    def record_success(self, path: str) -> None:
        """Record that the API server has accepted a watch of the path."""
        if self._failures.pop(path, None) is not None and not self._failures:
            self._logged_codes.clear()
            logger.info("all lists and watches work again, after %.0f s", self._now() - self._failing_since)

    def problems(self) -> list[str]:
        """Return a description of the failure; empty if no path fails."""
        if not self._failures:
            return []
        path, failure = next(iter(self._failures.items()))
        seconds = self._now() - self._failing_since
        return [f"list or watch has failed for {seconds:.0f} s: {failure.reason} (GET {path})"]

    def _advice(self, code: int, reason: str, seconds: float) -> str:
        """Return why to give up, and what to do; empty while a retry may help."""
        if code == 401:
            return f"{self._server} does not accept the credentials: renew them in KUBECONFIG or the service account"
        if code == 404:
            return f"{self._server} does not serve {self._failing_resources()}: install the CRDs in crds/"
        if code == 403 and seconds > _FORBIDDEN_SECONDS:
            what = self._failing_resources()
            return f"not allowed to list and watch {what}: bind the roles of the chart or of manifests/ ({reason})"
        return ""

    def _failing_resources(self) -> str:
        """Return plurals and namespaces of the failing paths, such as /api/v1/namespaces/a/pods."""
        segments = [path.split("/") for path in self._failures]
        plurals = ", ".join(sorted({parts[-1] for parts in segments}))
        namespaces = sorted({parts[-2] for parts in segments if "namespaces" in parts[:-2]})
        return plurals + (f" of namespace {', '.join(namespaces)}" if namespaces else "")


def _reason(error: ApiError) -> str:
    """Return why a request failed, in the same words for every path: without an answer, the message names the path."""
    return str(error) if error.code or error.__cause__ is None else describe_error(error.__cause__)
