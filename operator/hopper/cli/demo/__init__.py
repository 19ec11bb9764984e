"""Manifests and compose files of `hopper demo`."""
