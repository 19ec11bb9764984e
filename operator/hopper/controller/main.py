"""The operator as a process: logging, connection, exit code."""

import asyncio
import errno
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import replace

from hopper.adapters.connection import NoClusterError, check_credentials, connect
from hopper.adapters.logs import set_up_logging
from hopper.controller.election import LeadershipLostError
from hopper.controller.garbage import keep_what_is_loaded
from hopper.controller.operator import Operator, Options
from hopper.ports import find_error
from hopper.watch import WatchFailedError

logger = logging.getLogger("hopper")


def serve(
    *,
    namespaces: Sequence[str],
    all_namespaces: bool,
    leader_elect: bool,
    options: Options,
    verbose: bool,
    json_logs: bool,
) -> int:
    """Run the operator until it is stopped; return the exit code, which is 1 when it gave up.

    No namespace for the Lease means the operator's own, where `leader_elect` wants one.
    """
    set_up_logging(verbose=verbose, json_logs=json_logs)
    # kopf looks up the user's name, which a container's arbitrary UID does not have.
    os.environ.setdefault("USER", "hopper")
    keep_what_is_loaded()
    try:
        asyncio.run(_serve(namespaces, all_namespaces, leader_elect, options))
    except NoClusterError as error:
        logger.error("%s", error)
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            logger.exception("the operator gave up")
        else:
            logger.error("port %s is taken; choose another one with --metrics-port", options.metrics_port)
        return 1
    except Exception as error:
        if lost := find_error(LeadershipLostError, error):
            logger.error("%s; ending, so that only its holder writes", lost)
        elif failed := find_error(WatchFailedError, error):
            logger.error("%s; ending", failed, exc_info=failed if verbose else None)
        else:
            logger.exception("the operator gave up")
        return 1
    return 0


async def _serve(namespaces: Sequence[str], all_namespaces: bool, leader_elect: bool, options: Options) -> None:
    connection = await connect()
    await check_credentials(connection)
    served = () if all_namespaces else tuple(namespaces) or (connection.namespace,)
    where = f"namespaces {', '.join(served)}" if served else "all namespaces"
    logger.info("serving %s of %s", where, connection.configuration.host)
    election = (options.lease_namespace or connection.namespace) if leader_elect else None
    operator = Operator(connection, replace(options, namespaces=served, lease_namespace=election))
    for number in (signal.SIGINT, signal.SIGTERM):  # kopf takes over when it starts
        asyncio.get_running_loop().add_signal_handler(number, operator.stop)
    await operator.run()
