"""The `hopper` command. Verbs import their dependencies when they run, so that `--help` is fast."""

from __future__ import annotations

from typing import Annotated

import typer

from hopper.cli.verbs import demo, gateway, imports, local, operator, render

app = typer.Typer(
    name="hopper",
    help="Run hierarchies of long-lived instances on Kubernetes.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.run_demo)
app.command("render")(render.print_objects)
app.command("diff")(render.print_diff)
app.add_typer(operator.app, name="operator")
app.add_typer(gateway.app, name="gateway")
app.add_typer(local.app, name="local")
app.add_typer(imports.app, name="import")


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"hopper {version('hopper-operator')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run hierarchies of long-lived instances on Kubernetes."""


def main() -> None:
    """Entry point of the console scripts `hopper` and `kubectl-hopper`."""
    app()


if __name__ == "__main__":
    main()
