"""How services reach each other: by compose names in the files, by the names of Services in the cluster."""
