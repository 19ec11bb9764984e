"""What `hopper demo` applies."""
