"""`hopper import`: bring in what was written for something else."""

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
    from hopper.compose.reading.files import Files
    from hopper.compose.reading.sources import Source

app = typer.Typer(help="Bring in what was written for something else.", no_args_is_help=True)

FIELD_MANAGER = "hopper-import"
_STDIN = Path("-")


class Output(StrEnum):
    """How manifests are printed."""

    YAML = "yaml"
    JSON = "json"


@app.callback()
def _group() -> None:
    """Bring in what was written for something else."""


@app.command()
def compose(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|DIR...", help="Compose files, directories with such, or - for standard input."),
    ],
    stack: Annotated[
        str | None,
        typer.Option("--stack", metavar="NAME", help="Also make a Project of that name, with an instance per service."),
    ] = None,
    output: Annotated[
        Output | None, typer.Option("--output", "-o", help="Print the manifests so. Default: yaml.", show_default=False)
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Apply the manifests instead of printing them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --apply: check only, change nothing.")] = False,
    force_conflicts: Annotated[
        bool, typer.Option("--force-conflicts", help="With --apply: take over fields that others have set.")
    ] = False,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Default: the current one.")] = None,
    env: Annotated[
        bool, typer.Option("--env", help="Let ${VARIABLES} come from the environment, too, not only from .env.")
    ] = False,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Read files that a compose file names (env_file, configs, ...) from below here. "
            "Default: the compose file's own directory.",
            show_default=False,
        ),
    ] = None,
    prefix: Prefix = DEFAULT_PREFIX,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if anything is not carried over.")] = False,
) -> None:
    """Turn compose services into HopperTemplates, and with --stack into a running stack.

    The manifests go to standard output, and a report of what is different or lost, and what to do about it, to standard
    error. Passwords, tokens and the like are moved into Secrets.

    A directory stands for its compose.yaml (and compose.override.yaml); without one, for all YAML files in it.

    Examples:

      hopper import compose compose.yaml                          # look at the result

      hopper import compose compose.yaml > templates.yaml         # keep it, with the report on the screen

      hopper import compose . --stack shop --apply                # a Project "shop" with an instance per service

      hopper import compose . --stack shop --apply --dry-run      # have the API server check it first

      hopper import compose catalogue/*.yml --strict -o json      # in scripts: fail if anything would be lost

      docker compose config | hopper import compose -             # merged and with all variables, by docker itself
    """
    if (dry_run or force_conflicts) and not apply:
        raise typer.BadParameter("--dry-run and --force-conflicts belong to --apply: add it, or drop them")
    conversion = _converted(paths, stack, prefix, env, root)
    if strict and _lost(conversion):
        typer.echo("error: --strict: not all is carried over, see above; nothing was printed or applied", err=True)
        raise typer.Exit(1)
    manifests = conversion.manifests()
    if apply and not _apply(manifests, namespace, quiet=output is not None, force=force_conflicts, dry_run=dry_run):
        raise typer.Exit(1)
    if output is not None or not apply:
        _print(manifests, output or Output.YAML)


def _converted(paths: Sequence[Path], stack: str | None, prefix: str, env: bool, root: Path | None) -> Conversion:
    """Convert, and show the report. Ends with exit code 1 where the input is refused."""
    import os

    from hopper.cli.findings import printable, show_findings, summary
    from hopper.compose.convert import convert
    from hopper.compose.errors import ComposeError
    from hopper.compose.reading.files import Disk, WithInput

    data = typer.get_binary_stream("stdin").read() if _STDIN in paths else None

    def open_files(source: Source) -> Files:
        disk = Disk(root or source.directory, source.named)
        return disk if data is None else WithInput(disk, _STDIN, data)

    try:
        environment = dict(os.environ) if env else {}
        conversion = convert(paths, open_files, stack=stack, prefix=prefix, environment=environment)
    except ComposeError as error:
        for problem in error.problems:
            typer.echo(f"error: {printable(str(problem))}", err=True)
        raise typer.Exit(1) from None
    show_findings(conversion.findings, sys.stderr)
    typer.echo(summary(len(conversion.services), conversion.findings), err=True)
    return conversion


def _lost(conversion: Conversion) -> bool:
    from hopper.compose.report import Outcome

    return any(finding.outcome is Outcome.DROPPED for finding in conversion.findings)


def _print(manifests: Sequence[dict[str, Any]], output: Output) -> None:
    if output is Output.JSON:
        import json

        typer.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}, indent=2))
        return
    from hopper.cli.yaml_output import documents

    for document in documents(manifests):
        typer.echo(document, nl=False)


def _apply(
    manifests: Sequence[dict[str, Any]], namespace: str | None, *, quiet: bool, force: bool, dry_run: bool
) -> bool:
    """Apply the manifests, and print what became of each, as kubectl does. Whether all of them were accepted."""
    import asyncio

    from hopper.adapters.connection import NoClusterError, connect
    from hopper.adapters.kube import Kube
    from hopper.cli.applying import Applier
    from hopper.ports import ApiError

    async def run() -> bool:
        connection = await connect()
        kube = Kube(connection.client())
        applier = Applier(kube, namespace or connection.namespace, FIELD_MANAGER, force=force, dry_run=dry_run)
        accepted = True
        try:
            # All or nothing: instances must not run the templates of another stack.
            for taken in [] if force else await applier.belonging_to_others(manifests):
                accepted = False
                typer.echo(f"error: {taken}", err=True)
            if not accepted:
                return False
            async for applied in applier.apply(manifests):
                if applied.change is None:
                    accepted = False
                    typer.echo(f"error: {applied}", err=True)
                elif not quiet:
                    typer.echo(f"{applied}{' (server dry run)' if dry_run else ''}")
        finally:
            await kube.close()
        return accepted

    try:
        return asyncio.run(run())
    except (NoClusterError, ApiError) as error:
        typer.echo(f"error: {error}", err=True)
        return False
