"""Support for the tests on a real API server: clients, recorders, processes, faults and comparisons."""
