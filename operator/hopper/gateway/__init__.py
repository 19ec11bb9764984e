"""The gateway: the REST API under `/api/v1`. Reads come from the registry, writes go to the API server as intent.

A request passes `http` (its body, its errors), a route of `routes`, and `access`: who calls, whether they may. Then it
is answered from `views`, or goes on as what somebody wants: `intents`, or `stacks` for the services of a Project.
`models` are the bodies on the wire. `server` puts it all together around one `context`.
"""
