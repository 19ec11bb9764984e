"""`hopper gateway`: the REST gateway and its API keys."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hopper.api.names import DEFAULT_PREFIX
from hopper.cli.options import AllNamespaces, Format, LogFormat, Namespaces, Prefix, Verbose, check_namespaces

app = typer.Typer(help="Run the REST gateway, and create API keys.", no_args_is_help=True)


class AuthOption(StrEnum):
    """Values of --auth."""

    TOKEN = "token"  # noqa: S105
    APIKEY = "apikey"
    NONE = "none"


class KeyRoleOption(StrEnum):
    """Values of --role."""

    VIEW = "view"
    EDIT = "edit"
    ADMIN = "admin"


@app.callback()
def _group() -> None:
    """Run the REST gateway, and create API keys."""


@app.command("run")
def gateway_run(
    namespace: Namespaces = None,
    all_namespaces: AllNamespaces = False,
    host: Annotated[str, typer.Option(help="Address to listen on. Use :: for all addresses.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on. 0 chooses a free port.", min=0, max=65535)] = 8090,
    auth: Annotated[
        AuthOption,
        typer.Option(
            help="Authentication of callers. token: tokens of the cluster, with its RBAC. apikey: keys in Secrets. "
            "none: no authentication, on loopback only."
        ),
    ] = AuthOption.TOKEN,
    rate: Annotated[
        float,
        typer.Option(help="Limit of requests per second and caller. Bursts may have twice that. 0: no limit.", min=0),
    ] = 500,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name that requests may use, without the port. Repeat for more. Default: loopback addresses with "
            "--auth none, and otherwise any. Probes and metrics accept any host name."
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            help="PEM file with the certificate chain. The gateway then serves HTTPS, and reads "
            "the file again when it changes."
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file with the private key of the certificate, without a password.")
    ] = None,
    token_audience: Annotated[
        list[str] | None,
        typer.Option(
            help="Audience that tokens must be for, with --auth token. Repeat for more. Default: that of the API "
            "server."
        ),
    ] = None,
    prefix: Prefix = DEFAULT_PREFIX,
    verbose: Verbose = False,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """Serve the REST API under /api/v1 until Ctrl-C or SIGTERM.

    Examples:

      hopper gateway run --auth none             # on this machine only, without authentication

      hopper gateway run -n team-a --host :: --port 8090

      hopper gateway run --all-namespaces --auth apikey --log-format json
    """
    check_namespaces(namespace, all_namespaces)
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key belong together; use both or neither")
    if token_audience and auth is not AuthOption.TOKEN:
        raise typer.BadParameter(f"--token-audience has no meaning with --auth {auth.value}; use --auth token")
    from hopper.gateway.main import serve_gateway
    from hopper.gateway.server import AuthMode

    raise typer.Exit(
        serve_gateway(
            namespaces=namespace or [],
            all_namespaces=all_namespaces,
            host=host,
            port=port,
            auth=AuthMode(auth.value),
            rate=rate,
            allowed_hosts=allowed_host or [],
            tls_files=(tls_cert, tls_key) if tls_cert and tls_key else None,
            token_audiences=token_audience or [],
            prefix=prefix,
            verbose=verbose,
            json_logs=log_format is LogFormat.JSON,
        )
    )


@app.command("key")
def create_api_key(
    name: Annotated[
        str, typer.Argument(help="Name of the key in logs and histories, and part of the name of its Secret.")
    ],
    role: Annotated[
        KeyRoleOption,
        typer.Option(help="view: read. edit: also change instances. admin: also change templates."),
    ] = KeyRoleOption.VIEW,
    key_namespaces: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            help="Namespace that the key gives access to, or * for all. Repeat for more. Default: that of the Secret.",
        ),
    ] = None,
    days: Annotated[int | None, typer.Option(help="Days until the key expires. Default: never.", min=1)] = None,
) -> None:
    """Create an API key.

    Print the key on standard error, and a Secret with its hash on standard output. The key cannot be shown again.

    Examples:

      hopper gateway key ci --role edit | kubectl apply --filename -

      kubectl delete secret hopper-api-key-ci       # revokes the key
    """
    from datetime import UTC, datetime, timedelta

    import yaml

    from hopper.gateway.auth.api_keys import KeyRole, api_key_secret, new_key

    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?", name):
        raise typer.BadParameter(f"invalid name {name!r}: use at most 42 lower-case letters, digits and '-'")
    key = new_key()
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) if days else None
    secret = api_key_secret(name, key, KeyRole(role.value), tuple(key_namespaces or ()), expires)
    typer.echo(yaml.safe_dump(secret, sort_keys=False), nl=False)
    typer.echo(f"The key, which cannot be shown again: {key}", err=True)
