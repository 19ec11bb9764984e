"""Support for tests on a real API server: processes, clients, recorders, faults and comparisons."""
