"""`hopper operator`: the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hopper.api.names import DEFAULT_PREFIX
from hopper.cli.options import AllNamespaces, Format, LogFormat, Namespaces, Prefix, Verbose, check_namespaces

if TYPE_CHECKING:
    from hopper.api.template import ResourceAmounts

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
    domain_suffix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAMESPACE=]SUFFIX",
            help="Suffix of domains that instances may claim, for all namespaces or for one. Repeat for more; * allows "
            "every suffix. Default: all domains except names inside the cluster, names of one label, and *.org.",
        ),
    ] = None,
    default_cpu_limit: Annotated[
        str | None,
        typer.Option(help="CPU limit of containers whose template sets none, such as 2 or 500m. Default: no limit."),
    ] = None,
    default_memory_limit: Annotated[
        str | None,
        typer.Option(help="Memory limit of containers whose template sets none, such as 512Mi. Default: no limit."),
    ] = None,
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
    from hopper.domain.service.domains import parse_domain_policy

    try:
        policy = parse_domain_policy(domain_suffix or ())
    except ValueError as error:
        raise typer.BadParameter(f"--domain-suffix: {error}") from error
    limits = _default_limits(default_cpu_limit, default_memory_limit)
    from hopper.process.system import reduce_gc_frequency

    reduce_gc_frequency()
    from hopper.controller.operator import OperatorOptions, run_operator

    options = OperatorOptions(
        metrics_port=None if metrics_port < 0 else metrics_port,
        lease_namespace=leader_elect_namespace,
        prefix=prefix,
        domain_policy=policy,
        default_limits=limits,
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


def _default_limits(cpu: str | None, memory: str | None) -> ResourceAmounts:
    from pydantic import TypeAdapter, ValidationError

    from hopper.api.template import Quantity, ResourceAmounts
    from hopper.domain.service.quantity import NANOS_PER_MILLI, NANOS_PER_UNIT, nanos

    for option, amount, unit, example in (
        ("cpu", cpu, NANOS_PER_MILLI, "500m or 2"),
        ("memory", memory, NANOS_PER_UNIT, "512Mi"),
    ):
        if amount is None:
            continue
        try:
            value = nanos(TypeAdapter(Quantity).validate_python(amount))
        except ValidationError:
            value = 0
        if value <= 0 or value % unit:
            raise typer.BadParameter(f"--default-{option}-limit {amount!r} is not a positive amount: use {example}")
    return ResourceAmounts(cpu=cpu, memory=memory)
