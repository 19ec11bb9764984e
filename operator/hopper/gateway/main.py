"""The gateway as a process: logging, connection, exit code."""

import asyncio
import errno
import gc
import ipaddress
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import replace

from hopper.adapters.connection import NoClusterError, check_credentials, connect
from hopper.adapters.logs import set_up_logging
from hopper.gateway.context import Settings
from hopper.gateway.server import AuthMode, Gateway, Options
from hopper.ports import find_error
from hopper.watch import WatchFailedError

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
    set_up_logging(verbose=verbose, json_logs=json_logs)
    # kopf looks up the user's name, which a container's arbitrary UID does not have.
    os.environ.setdefault("USER", "hopper")
    if auth is AuthMode.NONE and not is_loopback(host):
        logger.error("--auth none lets everybody do everything: it is only for --host 127.0.0.1, not for %s", host)
        return 1
    limit = rate if rate and auth is not AuthMode.NONE else None
    settings = Settings(requests_per_second=limit, burst=int(2 * rate), prefix=prefix)
    try:
        asyncio.run(_serve(namespaces, all_namespaces, Options(host=host, port=port, auth=auth, settings=settings)))
    except NoClusterError as error:
        logger.error("%s", error)
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            logger.exception("the gateway gave up")
        else:
            logger.error("port %d is taken; choose another one with --port", port)
        return 1
    except Exception as error:
        if failed := find_error(WatchFailedError, error):
            logger.error("%s; ending", failed, exc_info=failed if verbose else None)
        else:
            logger.exception("the gateway gave up")
        return 1
    return 0


async def _serve(namespaces: Sequence[str], all_namespaces: bool, options: Options) -> None:
    connection = await connect()
    await check_credentials(connection)
    served = () if all_namespaces else tuple(namespaces) or (connection.namespace,)
    where = f"namespaces {', '.join(served)}" if served else "all namespaces"
    logger.info("serving %s of %s", where, connection.configuration.host)
    gateway = Gateway(connection, replace(options, namespaces=served), _leave_to_stay)
    gateway.listen()
    for number in (signal.SIGINT, signal.SIGTERM):  # kopf takes over when it starts
        asyncio.get_running_loop().add_signal_handler(number, gateway.stop)
    await gateway.run()


def _leave_to_stay() -> None:
    """Have garbage collection pass over what is known by now: to look through thousands of instances takes 0.2 s."""
    gc.collect()
    gc.freeze()


def is_loopback(host: str) -> bool:
    """Tell whether only programs on this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
