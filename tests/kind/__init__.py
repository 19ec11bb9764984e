"""A container engine, a kind node image and kind clusters for machines that have no Docker or reach no registry."""
