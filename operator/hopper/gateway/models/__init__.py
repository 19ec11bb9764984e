"""Bodies of requests and answers.

Answers are plain dataclasses, made without validation and written by pydantic's serialiser: a page of a hundred
instances takes a millisecond. The same classes are the schema in OpenAPI.
"""
