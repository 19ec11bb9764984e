"""Command line of Hopper."""
