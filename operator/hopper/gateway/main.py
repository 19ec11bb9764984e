"""Entry point of the gateway process."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from hopper.adapters.connection import Connection
from hopper.gateway.context import SYSTEM_NAMESPACES, Settings
from hopper.gateway.http.connections import is_loopback
from hopper.gateway.http.tls import ServerCertificate
from hopper.gateway.server import AuthMode, Gateway, GatewayOptions
from hopper.process.process import Process
from hopper.process.system import exempt_loaded_objects_from_gc

logger = logging.getLogger("hopper")


def serve_gateway(
    *,
    namespaces: Sequence[str],
    all_namespaces: bool,
    host: str,
    port: int,
    auth: AuthMode,
    rate: float,
    allowed_hosts: Collection[str],
    tls_files: tuple[Path, Path] | None,
    token_audiences: Collection[str],
    prefix: str,
    system_namespaces: Collection[str],
    verbose: bool,
    json_logs: bool,
) -> int:
    """Run the gateway until it is stopped. Return its exit code: 1 after a fatal error or with invalid options.

    `tls_files` are the certificate and its key; without them, the gateway serves plain HTTP. `rate` is the number of
    requests per second for each caller, 0 for no limit. Without authentication there is no limit, because all callers
    would share it. Requests for `system_namespaces` are refused; if empty, these are kube-system, kube-public and
    kube-node-lease.
    """
    process = Process("gateway", namespaces, all_namespaces, verbose, json_logs)
    process.set_up()
    if auth is AuthMode.NONE and not is_loopback(host):
        logger.error(
            "--auth none gives every client all permissions, so it requires a loopback address: "
            "use --host 127.0.0.1 instead of %s, or another --auth mode",
            host,
        )
        return 1
    limit = rate if rate and auth is not AuthMode.NONE else None
    settings = Settings(
        requests_per_second=limit,
        burst=int(2 * rate),
        prefix=prefix,
        system_namespaces=frozenset(system_namespaces) or SYSTEM_NAMESPACES,
        allowed_hosts=frozenset(host.lower() for host in allowed_hosts),
    )
    try:
        certificate = ServerCertificate(*tls_files) if tls_files else None
    except (OSError, ValueError) as error:
        logger.error("cannot read --tls-cert and --tls-key: %s", error)
        return 1
    options = GatewayOptions(
        host=host,
        port=port,
        auth=auth,
        settings=settings,
        certificate=certificate,
        token_audiences=tuple(token_audiences),
    )

    def on_synced() -> None:
        # A garbage collection that scans thousands of instances takes 0.2 s.
        exempt_loaded_objects_from_gc(collect_first=True)

    def make_gateway(connection: Connection, served: tuple[str, ...]) -> Gateway:
        gateway = Gateway(connection, replace(options, namespaces=served), on_synced)
        gateway.listen()
        return gateway

    return process.run(make_gateway, port=port, port_option="--port")
