"""Stacks. A stack is a Project instance with its child instances that have a template."""
