"""Generators of the files that are derived from the code: `crds/`, `openapi.json` and `rest-api.md`."""
