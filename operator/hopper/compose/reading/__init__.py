"""Files → one model of a compose project."""
