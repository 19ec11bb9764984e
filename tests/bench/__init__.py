"""`make bench`: measure Hopper against the raw API server, a plain kopf operator and garbage collection."""
