"""Runs of a verb with a client of the cluster in the current context."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from hopper.adapters.kube import KubeClient

Result = TypeVar("Result")


def run_with_cluster(work: Callable[[KubeClient, str], Awaitable[Result]]) -> Result:
    """Run `work` with a client of the cluster and the namespace of the current context.

    An error of the cluster or of a manifest ends the program with exit code 2.
    """
    from hopper.adapters.connection import NoClusterError, connect
    from hopper.adapters.kube import KubeClient
    from hopper.cli.manifest_reader import ManifestError
    from hopper.ports import ApiError

    async def run() -> Result:
        connection = await connect()
        kube = KubeClient(connection.client())
        try:
            return await work(kube, connection.namespace)
        finally:
            await kube.close()

    try:
        return asyncio.run(run())
    except (NoClusterError, ManifestError, ApiError) as error:
        raise report_error(error) from error


def report_error(error: Exception) -> typer.Exit:
    """Write an error to standard error; return the exception that ends the program."""
    typer.echo(f"error: {error}", err=True)
    return typer.Exit(2)
