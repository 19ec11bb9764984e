"""Requests generated from the OpenAPI document, valid and invalid, get documented responses and no 5xx."""

from __future__ import annotations

import os

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import allow_header_conformance, positive_data_acceptance

from tests.unit.gateway.in_memory_gateway import InMemoryGateway, settings_with

# More for a thorough search.
EXAMPLES = int(os.environ.get("HOPPER_FUZZ_EXAMPLES", "4"))

gateway = InMemoryGateway(settings=settings_with(max_body_bytes=2**26))
gateway.instance("global", "Global")
gateway.instance("web", "Project", "global")
gateway.instance("web-a", "Orchestration", "web", templateRef={"name": "shop"})
gateway.template("shop")

# A stream never ends by itself; it has tests of its own.
schema = schemathesis.openapi.from_dict(gateway.app.openapi()).exclude(path="/api/v1/registry/events")
schema.app = gateway.app


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_responses_match_the_document(case: Case) -> None:
    # What fits the schema may still be refused: a parent of the wrong scope, say.
    excluded = [positive_data_acceptance]
    if case.path in ("/api/v1/instances/global", "/api/v1/instances/active"):
        # To read is all there is to these words; but an instance of that id can be changed too.
        excluded.append(allow_header_conformance)
    case.call_and_validate(excluded_checks=excluded)
