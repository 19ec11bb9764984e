"""A kind cluster: real containers, for what simulated nodes cannot show."""
