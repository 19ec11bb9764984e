"""HTTP itself: bodies and answers, errors, limits, the access log, the OpenAPI document."""
