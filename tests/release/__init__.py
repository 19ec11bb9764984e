"""Prepares a release: versions in step, changelog, generated files, commit and tag."""
