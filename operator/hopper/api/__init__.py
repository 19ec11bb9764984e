"""The wire contract: models, names, condition types and reasons. The files in `crds/` are generated from it."""
