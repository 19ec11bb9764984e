"""A process that watches a cluster: its logs, its connection, how it is stopped, and what its exit code tells."""

import asyncio
import errno
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hopper.adapters.connection import Connection, NoClusterError, check_credentials, connect
from hopper.adapters.logs import set_up_logging
from hopper.ports import GivenUpError, find_error

logger = logging.getLogger("hopper")


class Service(Protocol):
    """What runs in such a process."""

    async def run(self) -> None:
        """Serve until stopped. What is raised ends the process; `GivenUpError` on purpose, also in a group."""

    def stop(self) -> None:
        """Have `run` come to its end."""


# Makes the service for these namespaces, all of them where none is named.
Make = Callable[[Connection, tuple[str, ...]], Service]


@dataclass(frozen=True, slots=True)
class Process:
    """A process called `name`, for some namespaces: that of the kubeconfig or the pod where none is named."""

    name: str
    namespaces: Sequence[str]
    all_namespaces: bool
    verbose: bool
    json_logs: bool

    def set_up(self) -> None:
        """Have it log, and lack nothing that others take for granted."""
        set_up_logging(verbose=self.verbose, json_logs=self.json_logs)
        # kopf looks up the user's name, which a container's arbitrary UID does not have.
        os.environ.setdefault("USER", "hopper")

    def run(self, make: Make, *, port: int | None, port_option: str) -> int:
        """Serve until stopped; return the exit code: 1 where it gave up, 130 where it was interrupted at once.

        `port` and `port_option` are what to name where somebody else listens already.
        """
        try:
            asyncio.run(self._serve(make))
        except KeyboardInterrupt:
            return 130
        except NoClusterError as error:
            logger.error("%s", error)
        except Exception as error:
            taken = find_error(OSError, error)
            if given_up := find_error(GivenUpError, error):
                logger.error("%s; ending", given_up, exc_info=given_up if self.verbose else None)
            elif taken and taken.errno == errno.EADDRINUSE:
                logger.error("port %s is taken; choose another one with %s", port, port_option)
            else:
                logger.exception("the %s gave up", self.name)
        else:
            return 0
        return 1

    async def _serve(self, make: Make) -> None:
        connection = await connect()
        await check_credentials(connection)
        served = () if self.all_namespaces else tuple(self.namespaces) or (connection.namespace,)
        where = f"namespaces {', '.join(served)}" if served else "all namespaces"
        logger.info("serving %s of %s", where, connection.configuration.host)
        service = make(connection, served)
        for number in (signal.SIGINT, signal.SIGTERM):  # kopf takes over when it starts
            asyncio.get_running_loop().add_signal_handler(number, service.stop)
        await service.run()
