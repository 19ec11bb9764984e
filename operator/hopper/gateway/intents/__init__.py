"""Writes of the desired state of instances and templates on behalf of callers."""
