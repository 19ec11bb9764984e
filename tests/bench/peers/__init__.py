"""Operators that Hopper is compared with."""
