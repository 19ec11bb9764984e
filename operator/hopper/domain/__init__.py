"""The rules, pure: no kopf, no client, no clock, no I/O. Records go in, decisions come out."""
