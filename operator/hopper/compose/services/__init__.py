"""One service of the model → a template and a Secret, key by key."""
