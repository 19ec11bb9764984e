"""Response bodies made from the indexes."""
