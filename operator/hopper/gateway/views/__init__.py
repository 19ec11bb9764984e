"""What the registry knows: as it is answered, listed and waited for."""
