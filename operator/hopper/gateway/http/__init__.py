"""HTTP concerns that all routes share: bodies, responses, errors, limits, metrics and the OpenAPI document."""
