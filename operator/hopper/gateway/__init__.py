"""The gateway, which serves the REST API under `/api/v1`. Reads are served from indexes, writes go to the API server.

A request passes `http` (body, errors, limits), a function in `routes`, and `access` (authentication and permission).
`views` render responses. `intents` and `stacks` write the desired state on behalf of the caller. `models` are the
bodies of requests and responses. `discovery` searches the indexes and derives health and events. `server` runs it all.
"""
