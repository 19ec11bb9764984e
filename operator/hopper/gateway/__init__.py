"""The gateway: the REST API under `/api/v1`. Reads come from the registry, writes go to the API server as intent."""
