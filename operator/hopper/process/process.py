"""A process that serves a cluster: logging, connection, signals and exit code."""

import asyncio
import errno
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hopper.adapters.connection import Connection, NoClusterError, check_credentials, connect
from hopper.ports import FatalError, find_error
from hopper.process.logs import set_up_logging

logger = logging.getLogger("hopper")


class Runnable(Protocol):
    """The operator or the gateway, as a process runs them."""

    async def run(self) -> None:
        """Serve until stopped.

        Any exception ends the process. `FatalError`, also inside an exception group, ends it with a message only.
        """

    def stop(self) -> None:
        """Ask `run` to return."""


# Builds the operator or gateway for some namespaces; an empty tuple stands for all namespaces.
RunnableFactory = Callable[[Connection, tuple[str, ...]], Runnable]


@dataclass(frozen=True, slots=True)
class Process:
    """A process with its command-line options.

    Without `namespaces`, it serves the namespace of the kubeconfig context or of its own pod.
    """

    name: str
    namespaces: Sequence[str]
    all_namespaces: bool
    verbose: bool
    json_logs: bool

    def set_up(self) -> None:
        """Configure logging, and set USER for kopf."""
        set_up_logging(verbose=self.verbose, json_logs=self.json_logs)
        # kopf looks up the user's name; the arbitrary UID of a container has none.
        os.environ.setdefault("USER", "hopper")

    def run(self, factory: RunnableFactory, *, port: int | None, port_option: str) -> int:
        """Serve until stopped and return the exit code: 0, 1 after a failure, or 130 if interrupted before serving.

        `port` and `port_option` appear in the error message for a port that is in use.
        """
        try:
            asyncio.run(self._serve(factory))
        except KeyboardInterrupt:
            return 130
        except NoClusterError as error:
            logger.error("%s", error)
        except Exception as error:
            os_error = find_error(OSError, error)
            if given_up := find_error(FatalError, error):
                logger.error("%s; exiting", given_up, exc_info=given_up if self.verbose else None)
            elif os_error and os_error.errno == errno.EADDRINUSE:
                logger.error("port %s is in use; choose another one with %s", port, port_option)
            else:
                logger.exception("the %s failed", self.name)
        else:
            return 0
        return 1

    async def _serve(self, factory: RunnableFactory) -> None:
        connection = await connect()
        await check_credentials(connection)
        namespaces = () if self.all_namespaces else tuple(self.namespaces) or (connection.namespace,)
        where = f"namespaces {', '.join(namespaces)}" if namespaces else "all namespaces"
        logger.info("serving %s of %s", where, connection.configuration.host)
        runnable = factory(connection, namespaces)
        # kopf replaces these handlers when it starts; until then, a signal must stop the process too.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, runnable.stop)
        await runnable.run()
