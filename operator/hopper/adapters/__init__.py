"""The Kubernetes API, behind the protocols of `ports`. Nothing else imports `kubernetes`."""
