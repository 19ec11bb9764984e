"""Set-up of a process: logging, signals and exit codes, listening sockets, garbage collector, clock."""
