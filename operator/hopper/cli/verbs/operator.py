"""`hopper operator`: the operator."""

from __future__ import annotations

from typing import Annotated

import typer

from hopper.api.names import DEFAULT_PREFIX
from hopper.cli.options import AllNamespaces, Format, LogFormat, Namespaces, Prefix, Verbose, check_namespaces

app = typer.Typer(help="Run the operator.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Run the operator."""


@app.command("run")
def operator_run(
    namespace: Namespaces = None,
    all_namespaces: AllNamespaces = False,
    metrics_port: Annotated[
        int,
        typer.Option(
            help="Port of /metrics, /healthz and /readyz. 0 chooses a free port, -1 disables them.", min=-1, max=65535
        ),
    ] = 8080,
    leader_elect: Annotated[
        bool,
        typer.Option("--leader-elect", help="Reconcile only while holding a Lease. Needed for more than one replica."),
    ] = False,
    leader_elect_namespace: Annotated[
        str | None,
        typer.Option(
            help="Namespace of the Lease. Default: that of the operator's pod, else that of the current context."
        ),
    ] = None,
    prefix: Prefix = DEFAULT_PREFIX,
    concurrency: Annotated[
        int,
        typer.Option(envvar="HOPPER_CONCURRENCY", help="Number of concurrent reconciles.", min=1, max=256),
    ] = 16,
    resync: Annotated[
        float,
        typer.Option(
            envvar="HOPPER_RESYNC",
            help="Seconds between two resyncs, which requeue all instances in case the watch missed an event.",
            min=5,
            max=86400,
        ),
    ] = 600,
    verbose: Verbose = False,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """Reconcile HopperInstances until Ctrl-C or SIGTERM.

    Examples:

      hopper operator run                        # serve the namespace of the current context

      hopper operator run -n team-a -n team-b    # serve two namespaces

      hopper operator run --all-namespaces --log-format json

      HOPPER_PREFIX=acme hopper operator run     # name Deployments acme-shop-web instead of hopper-shop-web
    """
    check_namespaces(namespace, all_namespaces)
    if leader_elect_namespace and not leader_elect:
        raise typer.BadParameter("--leader-elect-namespace needs --leader-elect")
    from hopper.process.system import reduce_gc_frequency

    reduce_gc_frequency()
    from hopper.controller.operator import OperatorOptions, run_operator

    options = OperatorOptions(
        metrics_port=None if metrics_port < 0 else metrics_port,
        lease_namespace=leader_elect_namespace,
        prefix=prefix,
        concurrency=concurrency,
        resync_seconds=resync,
    )
    raise typer.Exit(
        run_operator(
            namespaces=namespace or [],
            all_namespaces=all_namespaces,
            leader_elect=leader_elect,
            options=options,
            verbose=verbose,
            json_logs=log_format is LogFormat.JSON,
        )
    )
