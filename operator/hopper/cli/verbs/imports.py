"""`hopper import`: convert files of other tools into Hopper's objects."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.api.names import DEFAULT_PREFIX
from hopper.cli.options import Prefix

if TYPE_CHECKING:
    from hopper.compose.convert import Conversion
    from hopper.compose.reading.file_readers import FileReader
    from hopper.compose.reading.sources import ProjectSource

app = typer.Typer(help="Convert files of other tools into Hopper's objects.", no_args_is_help=True)

FIELD_MANAGER = "hopper-import"
_STDIN = Path("-")


class ManifestFormat(StrEnum):
    """Format of printed manifests."""

    YAML = "yaml"
    JSON = "json"


@app.callback()
def _group() -> None:
    """Convert files of other tools into Hopper's objects."""


@app.command()
def compose(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE|DIR...", help="Compose files, directories with compose files, or - for standard input."
        ),
    ],
    stack: Annotated[
        str | None,
        typer.Option(
            "--stack",
            metavar="NAME",
            help="Also create a project instance of this name, with an instance for each service.",
        ),
    ] = None,
    output: Annotated[
        ManifestFormat | None,
        typer.Option("--output", "-o", help="Format of the manifests. Default: yaml.", show_default=False),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Apply the manifests instead of printing them.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --apply: only let the API server check the manifests.")
    ] = False,
    force_conflicts: Annotated[
        bool, typer.Option("--force-conflicts", help="With --apply: take over fields of other field managers.")
    ] = False,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Default: the current namespace.")] = None,
    env: Annotated[
        bool, typer.Option("--env", help="Read ${VARIABLES} from the environment as well as from .env.")
    ] = False,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Directory that files named in a compose file (env_file, configs, ...) are read from. "
            "Default: the directory of the compose file.",
            show_default=False,
        ),
    ] = None,
    prefix: Prefix = DEFAULT_PREFIX,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if a key is not carried over.")] = False,
) -> None:
    """Convert compose services into HopperTemplates, and with --stack into a running stack.

    The manifests go to standard output. A report of all keys that are lost or changed, and what to do about them, goes
    to standard error. Passwords, tokens and other secrets are moved into Secrets.

    A directory stands for its compose.yaml (and compose.override.yaml), or without one for all YAML files in it.

    Examples:

      hopper import compose compose.yaml                          # print the manifests

      hopper import compose compose.yaml > templates.yaml         # save the manifests

      hopper import compose . --stack shop --apply                # create the stack "shop"

      hopper import compose . --stack shop --apply --dry-run      # let the API server check it

      hopper import compose catalogue/*.yml --strict -o json      # fail if a key would be lost

      docker compose config | hopper import compose -             # let docker compose merge the files
    """
    if (dry_run or force_conflicts) and not apply:
        raise typer.BadParameter("--dry-run and --force-conflicts require --apply: add it, or remove them")
    conversion = _convert(paths, stack, prefix, env, root)
    if strict and _has_losses(conversion):
        typer.echo(
            "error: --strict: some keys are not carried over, see above; nothing was printed or applied", err=True
        )
        raise typer.Exit(1)
    manifests = conversion.manifests()
    if apply and not _apply(manifests, namespace, quiet=output is not None, force=force_conflicts, dry_run=dry_run):
        raise typer.Exit(1)
    if output is not None or not apply:
        _print(manifests, output or ManifestFormat.YAML)


def _convert(paths: Sequence[Path], stack: str | None, prefix: str, env: bool, root: Path | None) -> Conversion:
    """Return the conversion, and show the report. Exit with code 1 if the input has problems."""
    import os

    from hopper.cli.import_report import conversion_summary, printable_text, show_findings
    from hopper.compose.convert import convert
    from hopper.compose.reading.file_readers import DirectoryReader, ReaderWithInput
    from hopper.compose.report import ComposeError

    data = typer.get_binary_stream("stdin").read() if _STDIN in paths else None

    def open_files(source: ProjectSource) -> FileReader:
        disk = DirectoryReader(root or source.directory, source.named)
        return disk if data is None else ReaderWithInput(disk, _STDIN, data)

    try:
        environment = dict(os.environ) if env else {}
        conversion = convert(paths, open_files, stack=stack, prefix=prefix, environment=environment)
    except ComposeError as error:
        for problem in error.problems:
            typer.echo(f"error: {printable_text(str(problem))}", err=True)
        raise typer.Exit(1) from None
    show_findings(conversion.findings, sys.stderr)
    typer.echo(conversion_summary(len(conversion.services), conversion.findings), err=True)
    return conversion


def _has_losses(conversion: Conversion) -> bool:
    from hopper.compose.report import Outcome

    return any(finding.outcome is Outcome.DROPPED for finding in conversion.findings)


def _print(manifests: Sequence[dict[str, Any]], output: ManifestFormat) -> None:
    if output is ManifestFormat.JSON:
        import json

        typer.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}, indent=2))
        return
    from hopper.cli.manifest_yaml import yaml_documents

    for document in yaml_documents(manifests):
        typer.echo(document, nl=False)


def _apply(
    manifests: Sequence[dict[str, Any]], namespace: str | None, *, quiet: bool, force: bool, dry_run: bool
) -> bool:
    """Apply the manifests, and print the change of each as kubectl does. Return whether the API server accepted all."""
    import asyncio

    from hopper.adapters.connection import NoClusterError, connect
    from hopper.adapters.kube import KubeClient
    from hopper.cli.server_side_apply import ServerSideApplier
    from hopper.ports import ApiError

    async def run() -> bool:
        connection = await connect()
        kube = KubeClient(connection.client())
        target = namespace or connection.namespace
        applier = ServerSideApplier(kube, target, FIELD_MANAGER, force=force, dry_run=dry_run)
        accepted = True
        try:
            # Nothing is applied if another stack owns an object, because instances would then use its templates.
            for conflict in [] if force else await applier.objects_of_other_stacks(manifests):
                accepted = False
                typer.echo(f"error: {conflict}", err=True)
            if not accepted:
                return False
            async for result in applier.apply(manifests):
                if result.outcome is None:
                    accepted = False
                    typer.echo(f"error: {result}", err=True)
                elif not quiet:
                    typer.echo(f"{result}{' (server dry run)' if dry_run else ''}")
        finally:
            await kube.close()
        return accepted

    try:
        return asyncio.run(run())
    except (NoClusterError, ApiError) as error:
        typer.echo(f"error: {error}", err=True)
        return False
