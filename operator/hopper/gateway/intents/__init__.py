"""What callers want of instances and templates, written to the API server as their intent."""
