"""Bodies of requests and responses.

Response models are plain dataclasses, created without validation and serialized by pydantic, because that is fast: a
page of a hundred instances takes a millisecond. OpenAPI derives its schemas from the same classes.
"""
