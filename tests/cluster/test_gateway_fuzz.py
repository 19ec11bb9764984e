"""Requests made up from the OpenAPI document, sent to a real gateway on a real cluster: no 5xx, no hang."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import allow_header_conformance, positive_data_acceptance

from hopper.local import Cluster
from tests.cluster.support.fuzz_target import FuzzTarget, running_fuzz_target
from tests.generators.rest_docs import openapi_document

# In all; a run that is worth the name takes 100,000 and an hour: HOPPER_FUZZ_REQUESTS=100000 pytest -s this file.
REQUESTS = int(os.environ.get("HOPPER_FUZZ_REQUESTS", "800"))

# A stream never ends by itself; it has tests of its own.
schema = schemathesis.openapi.from_dict(openapi_document()).exclude(path="/api/v1/registry/events")
schema.config.checks.negative_data_rejection.expected_statuses.append("413")
# Whatever can be wrong with each value by itself: thousands of requests, which the fuzzer without a cluster makes too.
schema.config.phases.coverage.enabled = REQUESTS >= 10_000
OPERATIONS = sum(1 for _ in schema.get_all_operations())


@pytest.fixture(scope="module")
def town(cluster: Cluster, crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuzzTarget]:
    namespace, logs = f"t-{uuid.uuid4().hex[:10]}", Path(tmp_path_factory.mktemp("fuzz"))
    cluster.kubectl("create", "namespace", namespace)
    with running_fuzz_target(cluster, namespace, logs) as town:
        yield town
        print(f"\nanswers: {town.response_counts()}; the slowest took {town.slowest[0]:.2f} s: {town.slowest[1]}")  # noqa: T201
        # While there is an operator to let go of what is deleted; else the namespace would be ending for ever.
        cluster.kubectl("delete", "namespace", namespace, "--timeout=120s")
    assert "Traceback" not in (logs / "gateway.log").read_text(errors="replace")


@schema.parametrize()
@settings(
    max_examples=max(1, REQUESTS // OPERATIONS),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_whatever_comes(case: Case, town: FuzzTarget) -> None:
    # What fits the schema may still be refused: a parent of the wrong scope, say.
    excluded = [positive_data_acceptance]
    if case.path in ("/api/v1/instances/global", "/api/v1/instances/active"):
        # To read is all there is to these words; but an instance of that id can be changed too.
        excluded.append(allow_header_conformance)
    case.validate_response(town.send(case), excluded_checks=excluded)


def test_nothing_went_wrong_behind(town: FuzzTarget) -> None:
    """After all that: no answer of 500 or above, and the operator has never wanted an illegal step."""
    counted = town.response_counts()
    assert not [code for code in counted if "500" <= code < "600"], counted
    assert counted["all"] >= min(REQUESTS, OPERATIONS)
    assert town.illegal_transitions() == 0
