"""The gateway as a process."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from hopper.adapters.connection import Connection
from hopper.gateway.auth.authority import is_loopback
from hopper.gateway.context import Settings
from hopper.gateway.server import AuthMode, Gateway, Options
from hopper.process.process import Process
from hopper.process.system import exempt_loaded_objects_from_gc

logger = logging.getLogger("hopper")


def serve(
    *,
    namespaces: Sequence[str],
    all_namespaces: bool,
    host: str,
    port: int,
    auth: AuthMode,
    rate: float,
    prefix: str,
    verbose: bool,
    json_logs: bool,
) -> int:
    """Run the gateway until it is stopped; return the exit code, which is 1 when it gave up or may not start.

    `rate` is the number of requests that one caller may send in a second, 0 for no limit. Where nobody has to say who
    they are, all are the same, and there is none.
    """
    process = Process("gateway", namespaces, all_namespaces, verbose, json_logs)
    process.set_up()
    if auth is AuthMode.NONE and not is_loopback(host):
        logger.error("--auth none lets everybody do everything: it is only for --host 127.0.0.1, not for %s", host)
        return 1
    limit = rate if rate and auth is not AuthMode.NONE else None
    settings = Settings(requests_per_second=limit, burst=int(2 * rate), prefix=prefix)
    options = Options(host=host, port=port, auth=auth, settings=settings)

    def on_synced() -> None:
        # A garbage collection that scans thousands of instances takes 0.2 s.
        exempt_loaded_objects_from_gc(collect_first=True)

    def make(connection: Connection, served: tuple[str, ...]) -> Gateway:
        gateway = Gateway(connection, replace(options, namespaces=served), on_synced)
        gateway.listen()
        return gateway

    return process.run(make, port=port, port_option="--port")
