"""`hopper operator`: run the operator."""

from __future__ import annotations

from typing import Annotated

import typer

from hopper.cli.options import AllNamespaces, Format, LogFormat, Namespaces, Verbose, check_namespaces

app = typer.Typer(help="Run the operator.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Run the operator."""


@app.command()
def run(
    namespace: Namespaces = None,
    all_namespaces: AllNamespaces = False,
    metrics_port: Annotated[
        int,
        typer.Option(
            help="Port of /metrics, /healthz and /readyz; 0 picks a free one, -1 serves none.", min=-1, max=65535
        ),
    ] = 8080,
    leader_elect: Annotated[
        bool, typer.Option("--leader-elect", help="Work only while holding a Lease: for more than one replica.")
    ] = False,
    leader_elect_namespace: Annotated[
        str | None, typer.Option(help="Namespace of that Lease. Default: the operator's own, or the current one.")
    ] = None,
    verbose: Verbose = False,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """Bring every HopperInstance to its desired state, until stopped with Ctrl-C or SIGTERM.

    Examples:

      hopper operator run                        # the namespace of the current context

      hopper operator run -n team-a -n team-b    # two namespaces

      hopper operator run --all-namespaces --log-format json
    """
    check_namespaces(namespace, all_namespaces)
    if leader_elect_namespace and not leader_elect:
        raise typer.BadParameter("--leader-elect-namespace needs --leader-elect")
    from hopper.controller.garbage import collect_seldom

    collect_seldom()
    from hopper.controller.main import serve

    raise typer.Exit(
        serve(
            namespaces=namespace or [],
            all_namespaces=all_namespaces,
            metrics_port=None if metrics_port < 0 else metrics_port,
            leader_elect=leader_elect,
            lease_namespace=leader_elect_namespace,
            verbose=verbose,
            json_logs=log_format is LogFormat.JSON,
        )
    )
