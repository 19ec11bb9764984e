"""Fuzzing of a gateway on a real API server with requests generated from the OpenAPI document: no 5xx, no hang."""

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

# Number of requests. A thorough run takes an hour: HOPPER_FUZZ_REQUESTS=100000 pytest -s this file.
REQUESTS = int(os.environ.get("HOPPER_FUZZ_REQUESTS", "800"))

# The event stream never ends by itself, and has tests of its own.
schema = schemathesis.openapi.from_dict(openapi_document()).exclude(path="/api/v1/registry/events")
schema.config.checks.negative_data_rejection.expected_statuses.append("413")
# This phase sends thousands of requests with one invalid value each, which the fuzz test without a cluster does too.
schema.config.phases.coverage.enabled = REQUESTS >= 10_000
OPERATIONS = sum(1 for _ in schema.get_all_operations())


@pytest.fixture(scope="module")
def target(cluster: Cluster, crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuzzTarget]:
    namespace, logs = f"t-{uuid.uuid4().hex[:10]}", Path(tmp_path_factory.mktemp("fuzz"))
    cluster.kubectl("create", "namespace", namespace)
    with running_fuzz_target(cluster, namespace, logs) as target:
        yield target
        seconds, request = target.slowest
        print(f"\nresponses: {target.response_counts()}; slowest: {seconds:.2f} s, {request}")  # noqa: T201
        # The operator must still run, because it removes the finalizers that the deletion of the namespace waits for.
        cluster.kubectl("delete", "namespace", namespace, "--timeout=120s")
    assert "Traceback" not in (logs / "gateway.log").read_text(errors="replace")


@schema.parametrize()
@settings(
    max_examples=max(1, REQUESTS // OPERATIONS),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_generated_request_gets_a_documented_response(case: Case, target: FuzzTarget) -> None:
    # A request that fits the schema may still be rejected, for example for a parent of the wrong scope.
    excluded = [positive_data_acceptance]
    if case.path in ("/api/v1/instances/global", "/api/v1/instances/active"):
        # The route of this word only allows GET, but an instance of this id can also be changed.
        excluded.append(allow_header_conformance)
    case.validate_response(target.send(case), excluded_checks=excluded)


def test_no_server_error_and_no_illegal_transition(target: FuzzTarget) -> None:
    """This runs after all generated requests."""
    counts = target.response_counts()
    assert not [code for code in counts if "500" <= code < "600"], counts
    assert counts["all"] >= min(REQUESTS, OPERATIONS)
    assert target.illegal_transitions() == 0
