"""`hopper demo`: the main job on a real API server, from nothing to a running tree and back."""

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

from hopper.cli.reporting import reported

if TYPE_CHECKING:
    from hopper.local import Cluster

_TIMEOUT = "60s"


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster running at the end.")] = False,
    name: Annotated[str, typer.Option("--name", help="Name of the cluster.")] = "demo",
) -> None:
    """Start a cluster, run the operator, and watch instances live, pause, resume and go: a tree, then a real stack.

    Needs nothing but this package; the first run downloads or builds the Kubernetes binaries, which takes minutes.
    """
    from hopper.local import open_cluster

    with reported("Interrupted.") as progress:
        cluster = open_cluster(name, "local")
        _check_that_it_is_new(cluster)
        cluster.up(progress)
        try:
            _tell(cluster)
        finally:
            if not keep:
                cluster.down(progress)
    if keep:
        typer.echo(f'The cluster keeps running, without the operator. Use it:  eval "$(hopper local up --name {name})"')


def _check_that_it_is_new(cluster: Cluster) -> None:
    from hopper.local import LocalError

    if cluster.status().running:
        raise LocalError(
            f"cluster {cluster.name!r} is already running, and the demo would remove it: choose another --name, "
            f"or `hopper local down --name {cluster.name}` first"
        )


def _tell(cluster: Cluster) -> None:
    show = _Stage(cluster)
    show.title("A real Kubernetes API server is up. It learns about HopperInstances and HopperTemplates")
    show.kubectl("apply", "--filename", "-", stdin=_definitions(), shown="apply --filename crds/")
    show.kubectl("wait", "--for=condition=Established", "crd", "--all")
    with _operator(cluster):
        _tree_lives_and_goes(show)
        _stack_runs(show)


def _tree_lives_and_goes(show: _Stage) -> None:
    show.title("The operator runs. A tree of instances is applied")
    show.apply("tree.yaml")
    show.wait("--for=condition=Ready", "hopperinstances", "--all")
    show.kubectl("get", "hopperinstances")
    show.title("Project web is paused: everything below it pauses, its neighbours go on")
    show.want("web", "Paused", "maintenance")
    show.wait("--for=jsonpath={.status.phase}=Paused", "hi/web", "hi/web-crawler", "hi/web-search")
    show.kubectl("get", "hi", "--output=wide")
    show.title("Resumed: each child returns to its own desired state")
    show.want("web", "Running", "maintenance is over")
    show.wait("--for=jsonpath={.status.phase}=Running", "hi", "--all")
    show.kubectl("get", "hi")
    show.title("The root is deleted: the cascade goes from the leaves up")
    show.kubectl("delete", "hi/global", f"--timeout={_TIMEOUT}")
    show.wait("--for=delete", "hi", "--all")
    show.kubectl("get", "hi")


def _stack_runs(show: _Stage) -> None:
    show.title("A compose file becomes a stack: a Project, and an instance with a template for each service")
    show.hopper("import", "compose", "compose.yaml", "--stack=shop", "--apply")
    show.wait("--for=condition=Ready", "hi", "--all")
    show.kubectl("get", "hi,ht")
    show.kubectl("get", "deployments,services,pods")
    show.title("An override of one instance changes that one, and nothing else")
    show.file("override.yaml")
    show.apply("override.yaml", "--server-side")
    show.wait("--for=condition=Ready", "hi/shop-web")
    show.hopper("render", "shop-web", "--explain")
    show.title("The whole stack is stopped. Its volumes stay")
    show.want("shop", "Stopped", "closed for the night")
    show.wait("--for=jsonpath={.status.phase}=Stopped", "hi", "--all")
    show.kubectl("get", "hi,deployments,pods,persistentvolumeclaims")


class _Stage:
    """Shows commands as a person would type them, and what they print."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def title(self, text: str) -> None:
        typer.secho(f"\n# {text}", bold=True)

    def file(self, name: str) -> None:
        typer.secho(f"$ cat {name}", fg=typer.colors.CYAN)
        typer.echo(_example(name).rstrip())

    def kubectl(self, *arguments: str, stdin: str | None = None, shown: str | None = None) -> None:
        typer.secho(f"$ kubectl {shown or shlex.join(arguments)}", fg=typer.colors.CYAN)
        typer.echo(self._cluster.kubectl(*arguments, input=stdin).rstrip() or "(nothing)")

    def apply(self, name: str, *flags: str) -> None:
        shown = shlex.join(["apply", *flags, "--filename", name])
        self.kubectl("apply", *flags, "--filename", "-", stdin=_example(name), shown=shown)

    def hopper(self, *arguments: str) -> None:
        from hopper.local import LocalError

        typer.secho(f"$ hopper {shlex.join(arguments)}", fg=typer.colors.CYAN)
        with as_file(files("hopper.cli.demo")) as examples:
            environment = {**os.environ, "KUBECONFIG": str(self._cluster.kubeconfig), "COLUMNS": "140"}
            command = [sys.executable, "-m", "hopper.cli.main", *arguments]
            done = subprocess.run(command, cwd=examples, env=environment, check=False)
        if done.returncode:
            raise LocalError(f"hopper {shlex.join(arguments)} ended with {done.returncode}")

    def wait(self, *arguments: str) -> None:
        self.kubectl("wait", *arguments, f"--timeout={_TIMEOUT}")

    def want(self, name: str, state: str, reason: str) -> None:
        patch = f'{{"spec": {{"desiredState": "{state}", "reason": "{reason}"}}}}'
        self.kubectl("patch", f"hi/{name}", "--type=merge", f"--patch={patch}")


@contextmanager
def _operator(cluster: Cluster) -> Iterator[None]:
    """Run the operator beside us, as its users would, its log in the cluster's directory."""

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


def _definitions() -> str:
    import yaml

    from hopper.api.crd import KINDS, custom_resource_definition

    return yaml.safe_dump_all(custom_resource_definition(kind) for kind in KINDS)
