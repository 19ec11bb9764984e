"""The operator as a process: logging, connection, exit code."""

import asyncio
import errno
import logging
import os
import signal
from collections.abc import Sequence

from hopper.adapters.connection import NoClusterError, check_credentials, connect
from hopper.adapters.logs import set_up_logging
from hopper.controller.election import LeadershipLostError
from hopper.controller.garbage import keep_what_is_loaded
from hopper.controller.operator import Operator, Options

logger = logging.getLogger("hopper")


def serve(
    *,
    namespaces: Sequence[str],
    all_namespaces: bool,
    metrics_port: int | None,
    leader_elect: bool,
    lease_namespace: str | None,
    verbose: bool,
    json_logs: bool,
) -> int:
    """Run the operator until it is stopped; return the exit code, which is 1 when it gave up.

    `lease_namespace` None means the operator's own, where `leader_elect` wants one.
    """
    set_up_logging(verbose=verbose, json_logs=json_logs)
    # kopf looks up the user's name, which a container's arbitrary UID does not have.
    os.environ.setdefault("USER", "hopper")
    keep_what_is_loaded()
    try:
        asyncio.run(_serve(namespaces, all_namespaces, metrics_port, leader_elect, lease_namespace))
    except NoClusterError as error:
        logger.error("%s", error)
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            logger.exception("the operator gave up")
        else:
            logger.error("%s; choose another port with --metrics-port", error.strerror)
        return 1
    except Exception as error:
        if lost := _lost_leadership(error):
            logger.error("%s; ending, so that only its holder writes", lost)
            return 1
        logger.exception("the operator gave up")
        return 1
    return 0


def _lost_leadership(error: BaseException) -> LeadershipLostError | None:
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_lost_leadership, error.exceptions)), None)
    return error if isinstance(error, LeadershipLostError) else None


async def _serve(
    namespaces: Sequence[str],
    all_namespaces: bool,
    metrics_port: int | None,
    leader_elect: bool,
    lease_namespace: str | None,
) -> None:
    connection = await connect()
    await check_credentials(connection)
    served = () if all_namespaces else tuple(namespaces) or (connection.namespace,)
    where = f"namespaces {', '.join(served)}" if served else "all namespaces"
    logger.info("serving %s of %s", where, connection.configuration.host)
    election = (lease_namespace or connection.namespace) if leader_elect else None
    operator = Operator(connection, Options(namespaces=served, metrics_port=metrics_port, lease_namespace=election))
    for number in (signal.SIGINT, signal.SIGTERM):  # kopf takes over when it starts
        asyncio.get_running_loop().add_signal_handler(number, operator.stop)
    await operator.run()
