"""`hopper gateway`: the REST gateway and its API keys."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hopper.api.names import DEFAULT_PREFIX
from hopper.cli.options import AllNamespaces, Format, LogFormat, Namespaces, Prefix, Verbose, check_namespaces
from hopper.cli.tables import print_table

if TYPE_CHECKING:
    from hopper.adapters.kube import KubeClient

app = typer.Typer(help="Run the REST gateway, and manage API keys.", no_args_is_help=True)
keys = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)
app.add_typer(keys, name="key")


class AuthOption(StrEnum):
    """Values of --auth."""

    TOKEN = "token"  # noqa: S105
    APIKEY = "apikey"
    NONE = "none"


class KeyRoleOption(StrEnum):
    """Values of --role."""

    VIEW = "view"
    BEAT = "beat"
    WORK = "work"
    OPERATE = "operate"
    EDIT = "edit"
    ADMIN = "admin"


def _check_key_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?", name):
        raise typer.BadParameter(f"invalid name {name!r}: use at most 42 lower-case letters, digits and '-'")
    return name


KeyName = Annotated[
    str,
    typer.Argument(
        callback=_check_key_name, help="Name of the key in logs and histories, and part of the name of its Secret."
    ),
]
KeyNamespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace of the Secrets. Default: the namespace of the current context."),
]


@app.callback()
def _group() -> None:
    """Run the REST gateway, and manage API keys."""


@keys.callback()
def _key_group() -> None:
    """Create, list and revoke API keys."""


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
    system_namespaces: Annotated[
        list[str] | None,
        typer.Option(
            "--system-namespace",
            help="Namespace that no caller may use. Repeat for more. Default: kube-system, kube-public and "
            "kube-node-lease.",
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
            system_namespaces=system_namespaces or (),
            verbose=verbose,
            json_logs=log_format is LogFormat.JSON,
        )
    )


@keys.command("create")
def create_api_key(
    name: KeyName,
    role: Annotated[
        KeyRoleOption,
        typer.Option(
            help="view: read. beat: send heartbeats of --instance. work: complete tasks of --instance, once there are "
            "tasks. operate: view, and start, stop, restart, pause, resume and archive. edit: operate, and change "
            "instances without deciding what code runs. admin: everything."
        ),
    ] = KeyRoleOption.VIEW,
    instances: Annotated[
        list[str] | None,
        typer.Option("--instance", help="Instance that a key with role beat or work is for. Repeat for more."),
    ] = None,
    key_namespaces: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            help="Namespace that the key gives access to, or * for all. Repeat for more. Default: that of the Secret.",
        ),
    ] = None,
    days: Annotated[int, typer.Option(help="Days until the key expires. 0: never.", min=0, max=36500)] = 90,
    description: Annotated[str | None, typer.Option(help="Purpose of the key, shown by the list.")] = None,
) -> None:
    """Create an API key.

    Print the key on standard error, and a Secret with its hash on standard output. The key cannot be shown again.

    Examples:

      hopper gateway key create ci --role edit | kubectl apply --filename -

      hopper gateway key create probe --role beat --instance web --days 30 | kubectl apply --filename -
    """
    from datetime import UTC, datetime, timedelta

    import yaml

    from hopper.gateway.auth.api_keys import DESCRIPTION_LIMIT, KeyRole, api_key_secret, new_key

    key_role = KeyRole(role.value)
    if key_role.names_instances and not instances:
        raise typer.BadParameter(f"--role {role} is for some instances only: name them with --instance")
    if instances and not key_role.names_instances:
        raise typer.BadParameter(f"--role {role} is for all instances: omit --instance, or use --role beat or work")
    if description and len(description) > DESCRIPTION_LIMIT:
        raise typer.BadParameter(f"--description has more than {DESCRIPTION_LIMIT} characters: shorten it")
    key = new_key()
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) if days else None
    secret = api_key_secret(
        name,
        key,
        key_role,
        tuple(key_namespaces or ()),
        expires,
        instances=tuple(instances or ()),
        description=description,
    )
    typer.echo(yaml.safe_dump(secret, sort_keys=False), nl=False)
    typer.echo(f"The key, which cannot be shown again: {key}", err=True)


@keys.command("list")
def list_api_keys(namespace: KeyNamespace = None) -> None:
    """List the API keys in a namespace, without their hashes.

    Examples:

      hopper gateway key list --namespace hopper-system
    """
    from hopper.cli.api_keys import StoredKey, read_api_keys
    from hopper.cli.cluster_session import run_with_cluster

    async def read(kube: KubeClient, current_namespace: str) -> list[StoredKey]:
        return await read_api_keys(kube, namespace or current_namespace)

    stored = run_with_cluster(read)
    print_table([StoredKey.HEADINGS, *(key.row() for key in stored)], gap="  ")


@keys.command("revoke")
def revoke_api_key(
    name: Annotated[str, typer.Argument(help="Name of the key, as shown by the list.")], namespace: KeyNamespace = None
) -> None:
    """Revoke an API key: remove it from all Secrets in a namespace. Gateways refuse it at once.

    Examples:

      hopper gateway key revoke ci --namespace hopper-system
    """
    from hopper.cli.api_keys import remove_api_key
    from hopper.cli.cluster_session import run_with_cluster

    async def revoke(kube: KubeClient, current_namespace: str) -> tuple[str, list[str]]:
        searched = namespace or current_namespace
        return searched, await remove_api_key(kube, searched, name)

    searched, secrets = run_with_cluster(revoke)
    if not secrets:
        typer.echo(f"error: no API key {name} in namespace {searched}: see hopper gateway key list", err=True)
        raise typer.Exit(1)
    typer.echo(f"API key {name} revoked (removed from Secret {', '.join(secrets)} in namespace {searched})")
