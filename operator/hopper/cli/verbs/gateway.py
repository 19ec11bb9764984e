"""`hopper gateway`: run the REST gateway."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import typer

from hopper.api.names import DEFAULT_PREFIX
from hopper.cli.options import AllNamespaces, Format, LogFormat, Namespaces, Prefix, Verbose, check_namespaces

app = typer.Typer(help="Run the REST gateway.", no_args_is_help=True)


class Auth(StrEnum):
    """How callers are authenticated."""

    TOKEN = "token"  # noqa: S105
    APIKEY = "apikey"
    NONE = "none"


class Role(StrEnum):
    """What an API key is good for."""

    VIEW = "view"
    EDIT = "edit"
    ADMIN = "admin"


@app.callback()
def _group() -> None:
    """Run the REST gateway."""


@app.command()
def run(
    namespace: Namespaces = None,
    all_namespaces: AllNamespaces = False,
    host: Annotated[str, typer.Option(help="Address to listen on; :: for all of them.")] = "127.0.0.1",
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
    prefix: Prefix = DEFAULT_PREFIX,
    verbose: Verbose = False,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """Serve the REST API under /api/v1, until stopped with Ctrl-C or SIGTERM.

    Examples:

      hopper gateway run --auth none             # for yourself, on this machine

      hopper gateway run -n team-a --host :: --port 8090

      hopper gateway run --all-namespaces --auth apikey --log-format json
    """
    check_namespaces(namespace, all_namespaces)
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
            prefix=prefix,
            verbose=verbose,
            json_logs=log_format is LogFormat.JSON,
        )
    )


@app.command("key")
def make_key(
    name: Annotated[str, typer.Argument(help="What the key is called in logs and histories; a name for the Secret.")],
    role: Annotated[
        Role, typer.Option(help="view: read. edit: and change instances. admin: and templates, which say what runs.")
    ] = Role.VIEW,
    good_for: Annotated[
        list[str] | None,
        typer.Option(
            "--for", help="A namespace that it is good for, * for all; repeat for more. Default: that of the Secret."
        ),
    ] = None,
    days: Annotated[int | None, typer.Option(help="Days until it is not accepted any more.", min=1)] = None,
) -> None:
    """Make an API key: print it to stderr, once, and a Secret that holds its hash to stdout.

    Examples:

      hopper gateway key ci --role edit | kubectl apply --filename -

      kubectl delete secret hopper-api-key-ci       # takes it back, at once
    """
    from datetime import UTC, datetime, timedelta

    import yaml

    from hopper.gateway.auth.api_keys import KeyRole, api_key_secret, new_key

    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?", name):
        raise typer.BadParameter("write the name with a-z, 0-9 and -, with at most 42 characters")
    key = new_key()
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) if days else None
    secret = api_key_secret(name, key, KeyRole(role.value), tuple(good_for or ()), expires)
    typer.echo(yaml.safe_dump(secret, sort_keys=False), nl=False)
    typer.echo(f"The key, which is shown only now: {key}", err=True)
