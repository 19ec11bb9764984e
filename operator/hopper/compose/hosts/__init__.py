"""Addresses by which services reach each other: compose names in the files, names of Services in the cluster."""
