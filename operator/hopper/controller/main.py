"""The operator as a process."""

from collections.abc import Sequence
from dataclasses import replace

from hopper.adapters.connection import Connection
from hopper.controller.operator import Operator, OperatorOptions
from hopper.process.process import Process
from hopper.process.system import exempt_loaded_objects_from_gc


def serve(
    *,
    namespaces: Sequence[str],
    all_namespaces: bool,
    leader_elect: bool,
    options: OperatorOptions,
    verbose: bool,
    json_logs: bool,
) -> int:
    """Run the operator until it is stopped; return the exit code, which is 1 when it gave up.

    No namespace for the Lease means the operator's own, where `leader_elect` wants one.
    """
    process = Process("operator", namespaces, all_namespaces, verbose, json_logs)
    process.set_up()
    exempt_loaded_objects_from_gc()

    def make(connection: Connection, served: tuple[str, ...]) -> Operator:
        election = (options.lease_namespace or connection.namespace) if leader_elect else None
        return Operator(connection, replace(options, namespaces=served, lease_namespace=election))

    return process.run(make, port=options.metrics_port, port_option="--metrics-port")
