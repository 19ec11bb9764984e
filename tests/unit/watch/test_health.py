"""Health of lists and watches: what is logged and reported, and when the process gives up."""

from __future__ import annotations

import logging

import pytest

from hopper.ports import NotFoundError, RefusedError, UnavailableError
from hopper.watch import WatchHealth
from hopper.watch.health import WatchFailedError

SERVER = "https://api.example.org:6443"
PODS = "/api/v1/namespaces/a/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/b/deployments"
OUTAGE = UnavailableError("503: Service Unavailable", code=503)
FORBIDDEN = RefusedError("403: pods is forbidden", code=403)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> WatchHealth:
    return WatchHealth(SERVER, clock)


def unanswered(path: str) -> UnavailableError:
    error = UnavailableError(f"GET {path}: connection refused")
    error.__cause__ = OSError("connection refused")
    return error


def test_is_unready_until_every_path_works_again(health: WatchHealth, clock: Clock) -> None:
    health.record_failure(PODS, OUTAGE)
    health.record_failure(DEPLOYMENTS, OUTAGE)
    clock.now += 20
    assert health.problems() == [f"list or watch has failed for 20 s: 503: Service Unavailable (GET {PODS})"]
    health.record_success(PODS)
    assert health.problems() == [f"list or watch has failed for 20 s: 503: Service Unavailable (GET {DEPLOYMENTS})"]
    health.record_success(DEPLOYMENTS)
    assert health.problems() == []


def test_each_kind_of_failure_and_the_recovery_are_logged_once(
    health: WatchHealth, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hopper")
    for path in (PODS, DEPLOYMENTS, PODS):
        health.record_failure(path, unanswered(path))
    health.record_failure(PODS, OUTAGE)
    clock.now += 12
    for path in (PODS, DEPLOYMENTS, PODS):
        health.record_success(path)
    assert caplog.messages == [
        f"list or watch failed: connection refused (GET {PODS}); retrying",
        f"list or watch failed: 503: Service Unavailable (GET {PODS}); retrying",
        "all lists and watches work again, after 12 s",
    ]


def test_a_timeout_has_no_message_of_its_own(health: WatchHealth) -> None:
    error = UnavailableError(f"GET {PODS}: no response in time")
    error.__cause__ = TimeoutError()
    health.record_failure(PODS, error)
    assert health.problems() == [f"list or watch has failed for 0 s: no response in time (GET {PODS})"]


def test_gives_up_at_once_without_valid_credentials(health: WatchHealth) -> None:
    with pytest.raises(WatchFailedError, match=f"^{SERVER} does not accept the credentials: renew them"):
        health.record_failure(PODS, UnavailableError("401: Unauthorized", code=401))


def test_gives_up_at_once_without_crds(health: WatchHealth) -> None:
    with pytest.raises(WatchFailedError, match="does not serve hopperinstances: install the CRDs"):
        health.record_failure("/apis/hopper.dev/v1/hopperinstances", NotFoundError("404", code=404))


def test_gives_up_after_a_while_without_rights(health: WatchHealth, clock: Clock) -> None:
    """The API server has no RBAC rules for a moment after its restart."""
    health.record_failure(PODS, FORBIDDEN)
    health.record_failure(DEPLOYMENTS, FORBIDDEN)
    clock.now += 44
    health.record_failure(PODS, FORBIDDEN)
    clock.now += 2
    with pytest.raises(WatchFailedError) as caught:
        health.record_failure(PODS, FORBIDDEN)
    assert str(caught.value) == (
        "not allowed to list and watch deployments, pods of namespace a, b: "
        "bind the roles of the chart or of manifests/ (403: pods is forbidden)"
    )


def test_an_outage_does_not_count_as_missing_rights(health: WatchHealth, clock: Clock) -> None:
    health.record_failure(PODS, OUTAGE)
    clock.now += 600
    health.record_failure(PODS, FORBIDDEN)
    clock.now += 44
    health.record_failure(PODS, FORBIDDEN)


def test_an_outage_never_ends_the_process(health: WatchHealth, clock: Clock) -> None:
    for _ in range(100):
        health.record_failure(PODS, OUTAGE)
        clock.now += 600


def test_names_cluster_wide_resources_without_namespaces(health: WatchHealth, clock: Clock) -> None:
    for path in ("/api/v1/pods", "/apis/hopper.dev/v1/hopperinstances"):
        health.record_failure(path, FORBIDDEN)
    clock.now += 46
    with pytest.raises(WatchFailedError, match=r"^not allowed to list and watch hopperinstances, pods: bind"):
        health.record_failure("/api/v1/pods", FORBIDDEN)
