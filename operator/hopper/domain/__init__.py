"""Pure rules of the lifecycle, the hierarchy and the planner, without kopf, API client, clock or I/O."""
