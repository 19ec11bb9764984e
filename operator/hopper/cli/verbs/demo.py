"""`hopper demo`: a tour of Hopper on a real API server."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Annotated

import typer

from hopper.cli.error_reporting import report_local_errors

if TYPE_CHECKING:
    from hopper.local import Cluster

_TIMEOUT = "60s"


def run_demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the cluster running at the end.")] = False,
    name: Annotated[str, typer.Option("--name", help="Name of the cluster.")] = "demo",
) -> None:
    """Start a cluster and the operator, and show a tree of instances and a stack from a compose file.

    The demo needs nothing but this package. The first run downloads or builds the Kubernetes binaries, which takes
    minutes.
    """
    from hopper.local import open_cluster

    with report_local_errors("Interrupted.") as progress:
        cluster = open_cluster(name, "local")
        _check_not_running(cluster)
        cluster.up(progress)
        try:
            _show_everything(cluster)
        finally:
            if not keep:
                cluster.down(progress)
    if keep:
        typer.echo(f'The cluster keeps running without the operator. Use it:  eval "$(hopper local up --name {name})"')


def _check_not_running(cluster: Cluster) -> None:
    from hopper.local import LocalError

    if cluster.status().is_running:
        raise LocalError(
            f"cluster {cluster.name!r} is already running, and the demo would remove it: choose another --name, "
            f"or run `hopper local down --name {cluster.name}` first"
        )


def _show_everything(cluster: Cluster) -> None:
    screen = _Screen(cluster)
    screen.title("A real Kubernetes API server is running. Install the HopperInstance and HopperTemplate CRDs")
    screen.kubectl("apply", "--filename", "-", stdin=_crds(), shown="apply --filename crds/")
    screen.kubectl("wait", "--for=condition=Established", "crd", "--all")
    with _operator(cluster):
        _show_tree(screen)
        _show_stack(screen)


def _show_tree(screen: _Screen) -> None:
    screen.title("The operator is running. Apply a tree of instances")
    screen.apply("tree.yaml")
    screen.wait("--for=condition=Ready", "hopperinstances", "--all")
    screen.kubectl("get", "hopperinstances")
    screen.title("Pause the project web: its children pause, and its siblings keep running")
    screen.set_desired_state("web", "Paused", "maintenance")
    screen.wait("--for=jsonpath={.status.phase}=Paused", "hi/web", "hi/web-crawler", "hi/web-search")
    screen.kubectl("get", "hi", "--output=wide")
    screen.title("Resume the project: each child returns to its own desired state")
    screen.set_desired_state("web", "Running", "maintenance is over")
    screen.wait("--for=jsonpath={.status.phase}=Running", "hi", "--all")
    screen.kubectl("get", "hi")
    screen.title("Delete the root: the operator deletes the tree from the leaves up")
    screen.kubectl("delete", "hi/global", f"--timeout={_TIMEOUT}")
    screen.wait("--for=delete", "hi", "--all")
    screen.kubectl("get", "hi")


def _show_stack(screen: _Screen) -> None:
    screen.title("Import a compose file as a stack: a Project, and an instance with a template per service")
    screen.hopper("import", "compose", "compose.yaml", "--stack=shop", "--apply")
    screen.wait("--for=condition=Ready", "hi", "--all")
    screen.kubectl("get", "hi,ht")
    screen.kubectl("get", "deployments,services,pods")
    screen.title("Override a value of one instance: other instances do not change")
    screen.file("override.yaml")
    screen.apply("override.yaml", "--server-side")
    screen.wait("--for=condition=Ready", "hi/shop-web")
    screen.hopper("render", "shop-web", "--explain")
    screen.title("Stop the whole stack: its volumes stay")
    screen.set_desired_state("shop", "Stopped", "closed for the night")
    screen.wait("--for=jsonpath={.status.phase}=Stopped", "hi", "--all")
    screen.kubectl("get", "hi,deployments,pods,persistentvolumeclaims")


class _Screen:
    """Terminal that prints and runs commands as a user would type them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def title(self, text: str) -> None:
        typer.secho(f"\n# {text}", bold=True)

    def file(self, name: str) -> None:
        typer.secho(f"$ cat {name}", fg=typer.colors.CYAN)
        typer.echo(_example(name).rstrip())

    def kubectl(self, *arguments: str, stdin: str | None = None, shown: str | None = None) -> None:
        typer.secho(f"$ kubectl {shown or shlex.join(arguments)}", fg=typer.colors.CYAN)
        typer.echo(self._cluster.kubectl(*arguments, input=stdin).rstrip() or "(no output)")

    def apply(self, name: str, *flags: str) -> None:
        shown = shlex.join(["apply", *flags, "--filename", name])
        self.kubectl("apply", *flags, "--filename", "-", stdin=_example(name), shown=shown)

    def hopper(self, *arguments: str) -> None:
        from hopper.local import LocalError

        typer.secho(f"$ hopper {shlex.join(arguments)}", fg=typer.colors.CYAN)
        with as_file(files("hopper.cli.demo")) as examples:
            environment = {**os.environ, "KUBECONFIG": str(self._cluster.kubeconfig), "COLUMNS": "140"}
            command = [sys.executable, "-m", "hopper.cli.main", *arguments]
            result = subprocess.run(command, cwd=examples, env=environment, check=False)
        if result.returncode:
            raise LocalError(f"hopper {shlex.join(arguments)} failed with exit code {result.returncode}")

    def wait(self, *arguments: str) -> None:
        self.kubectl("wait", *arguments, f"--timeout={_TIMEOUT}")

    def set_desired_state(self, name: str, state: str, reason: str) -> None:
        patch = f'{{"spec": {{"desiredState": "{state}", "reason": "{reason}"}}}}'
        self.kubectl("patch", f"hi/{name}", "--type=merge", f"--patch={patch}")


@contextmanager
def _operator(cluster: Cluster) -> Iterator[None]:
    """Run the operator as a process, with its log in the cluster's directory."""
    command = [sys.executable, "-m", "hopper.cli.main", "operator", "run", "--metrics-port=0"]
    log = cluster.kubeconfig.with_name("operator.log")
    with log.open("w", encoding="utf-8") as stream:
        environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
        try:
            yield
        except Exception:
            typer.echo(log.read_text(encoding="utf-8"), err=True)
            raise
        finally:
            process.terminate()
            process.wait(timeout=30)


def _example(name: str) -> str:
    return files("hopper.cli.demo").joinpath(name).read_text(encoding="utf-8")


def _crds() -> str:
    import yaml

    from hopper.api.crd import KINDS, custom_resource_definition

    return yaml.safe_dump_all(custom_resource_definition(kind) for kind in KINDS)
