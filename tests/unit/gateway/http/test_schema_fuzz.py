"""Requests generated from the OpenAPI document, valid and invalid, get documented responses and no 5xx."""

from __future__ import annotations

import os

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import allow_header_conformance, positive_data_acceptance

from tests.unit.gateway.in_memory_gateway import InMemoryGateway, settings_with

# Set HOPPER_FUZZ_EXAMPLES higher for a thorough search.
EXAMPLES = int(os.environ.get("HOPPER_FUZZ_EXAMPLES", "4"))

gateway = InMemoryGateway(settings=settings_with(max_body_bytes=2**26))
gateway.instance("global", "Global")
gateway.instance("web", "Project", "global")
gateway.instance("web-a", "Orchestration", "web", templateRef={"name": "shop"})
gateway.template("shop")

# A stream does not end, and has its own tests.
schema = schemathesis.openapi.from_dict(gateway.app.openapi()).exclude(path="/api/v1/registry/events")
schema.app = gateway.app


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_responses_match_the_document(case: Case) -> None:
    # A request that matches the schema may still be rejected, for example for a parent of the wrong scope.
    excluded = [positive_data_acceptance]
    if case.path in ("/api/v1/instances/global", "/api/v1/instances/active"):
        # These paths allow only GET, but they also match the route of an instance, which allows other methods.
        excluded.append(allow_header_conformance)
    case.call_and_validate(excluded_checks=excluded)
