"""The wire contract: models, names, condition types and reasons. `crds/` is generated from here."""
