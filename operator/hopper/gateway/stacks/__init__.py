"""Stacks: a Project instance, seen as a set of service instances."""
