"""`make bench`: Hopper against the raw API server, against a plain kopf operator, and against garbage collection."""
