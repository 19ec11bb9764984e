"""Conversion of the services of a model into templates and Secrets, key by key."""
