"""`hopper gateway`: run the REST gateway."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hopper.cli.verbs.operator import LogFormat

app = typer.Typer(help="Run the REST gateway.", no_args_is_help=True)


class Auth(StrEnum):
    """How callers are authenticated."""

    TOKEN = "token"  # noqa: S105
    APIKEY = "apikey"
    NONE = "none"


@app.callback()
def _group() -> None:
    """Run the REST gateway."""


@app.command()
def run(
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", help="Serve this namespace; repeat for more. Default: the current one."),
    ] = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Serve all namespaces.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.", min=0, max=65535)] = 8090,
    auth: Annotated[
        Auth,
        typer.Option(
            help="token: the cluster's own, with its RBAC. apikey: keys in a Secret. none: everybody, on loopback only."
        ),
    ] = Auth.TOKEN,
    rate: Annotated[
        float, typer.Option(help="Requests a second that one caller may send, twice that at once; 0: no limit.", min=0)
    ] = 500,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step, kopf's too.")] = False,
    log_format: Annotated[LogFormat, typer.Option(help="How log lines look.")] = LogFormat.TEXT,
) -> None:
    """Serve the REST API under /api/v1, until stopped with Ctrl-C or SIGTERM.

    Examples:

      hopper gateway run --auth none             # for yourself, on this machine

      hopper gateway run -n team-a --host 0.0.0.0 --port 8090

      hopper gateway run --all-namespaces --auth apikey --log-format json
    """
    if namespace and all_namespaces:
        raise typer.BadParameter("--namespace and --all-namespaces exclude each other; drop one of them")
    from hopper.gateway.main import serve
    from hopper.gateway.server import AuthMode

    raise typer.Exit(
        serve(
            namespaces=namespace or [],
            all_namespaces=all_namespaces,
            host=host,
            port=port,
            auth=AuthMode(auth.value),
            rate=rate,
            verbose=verbose,
            json_logs=log_format is LogFormat.JSON,
        )
    )
