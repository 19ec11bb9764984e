"""Access to the Kubernetes API: the implementations of `ports`, and the only importer of `kubernetes`."""
