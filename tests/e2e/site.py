"""Where the end-to-end tests run: a cluster of their own or the current one, and the images that it knows."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from hopper.local import Cluster, CurrentCluster, LocalError, known_clusters
from hopper.local.kind.cluster import KindCluster
from hopper.local.kind.pulling import pull
from hopper.local.progress import Progress

ROOT = Path(__file__).parents[2]
IMAGES = Path(__file__).parent / "images"
# e2e-<pid of the test run>
NAME = re.compile(r"e2e-(\d+)")
PYTHON = "docker.io/library/python:3.13-slim"
_OLDER_COMMITS = 10


@dataclass(frozen=True)
class Version:
    """A state of the source: its chart, and the image made from it."""

    chart: Path
    image: str

    @property
    def values(self) -> Mapping[str, object]:
        """What the chart is told of the image."""
        repository, _, tag = self.image.rpartition(":")
        return {"registry": "", "repository": repository, "tag": tag}


@dataclass(frozen=True)
class Site:
    """A cluster, this version of Hopper, and the one before; None where only one image is at hand."""

    cluster: Cluster
    version: Version
    before: Version | None
    # What the samples run can be had there.
    samples_run: bool


@contextmanager
def kind_site(progress: Progress, scratch: Path) -> Iterator[Site]:
    """A kind cluster with images built from the working tree and from the commit before it; gone afterwards."""
    remove_leftovers(progress)
    cluster = KindCluster(f"e2e-{os.getpid()}")
    try:
        cluster.up(progress)
        base = _base(cluster, progress)
        with progress.step("Building Hopper's image", 60):
            version = Version(ROOT / "charts" / "hopper", _build(cluster, base, ROOT, "hopper.local/hopper:e2e"))
        with progress.step("Building the image of the commit before", 60):
            before = _version_before(cluster, base, scratch)
        with progress.step("Loading the images into the cluster", 30):
            cluster.load(version.image, before.image)
            samples_run = base == PYTHON or _load_stand_in(cluster, base)
        yield Site(cluster, version, before, samples_run)
    finally:
        cluster.down(progress)


@contextmanager
def current_site(image: str, before: str | None) -> Iterator[Site]:
    """Whatever KUBECONFIG points at; its nodes have to be able to pull the image."""
    cluster = CurrentCluster()
    cluster.up()
    chart = ROOT / "charts" / "hopper"
    older = Version(chart, before) if before else None
    yield Site(cluster, Version(chart, image), older, samples_run=True)


def remove_leftovers(progress: Progress) -> None:
    """End the clusters of test runs that were killed."""
    for name in known_clusters():
        if (match := NAME.fullmatch(name)) and not _runs(int(match[1])):
            KindCluster(name).down(progress)


def _base(cluster: KindCluster, progress: Progress) -> str:
    """The official Python where it can be pulled, else one from packages."""
    return PYTHON if pull(cluster.docker, PYTHON, progress) else cluster.python_image(progress)


def _build(cluster: KindCluster, base: str, context: Path, image: str) -> str:
    revision = _git("rev-parse", "HEAD", check=False).decode().strip() or "unknown"
    arguments = [f"--build-arg=BASE_IMAGE={base}", f"--build-arg=REVISION={revision}"]
    cluster.docker("build", "--quiet", "--network=host", f"--tag={image}", *arguments, str(context))
    return image


def _version_before(cluster: KindCluster, base: str, scratch: Path) -> Version:
    """The newest commit before this one that had a chart and can be built; without history, this one again."""
    image = "hopper.local/hopper:e2e-before"
    for commit in _git("rev-list", "--skip=1", f"--max-count={_OLDER_COMMITS}", "HEAD", check=False).decode().split():
        tree = scratch / commit
        with tarfile.open(fileobj=BytesIO(_git("archive", commit))) as archive:
            archive.extractall(tree, filter="data")
        if not (tree / "charts" / "hopper" / "Chart.yaml").exists() or not (tree / "Dockerfile").exists():
            continue
        try:
            return Version(tree / "charts" / "hopper", _build(cluster, base, tree, image))
        except LocalError:
            continue
    cluster.docker("tag", "hopper.local/hopper:e2e", image)
    return Version(ROOT / "charts" / "hopper", image)


def _load_stand_in(cluster: KindCluster, base: str) -> bool:
    """What the samples run cannot be pulled where Python could not; a stand-in will do."""
    template = (ROOT / "manifests" / "samples" / "templates.yaml").read_text(encoding="utf-8")
    (image,) = re.findall(r"^\s+image: (\S*nginx\S*)$", template, re.MULTILINE)
    with tempfile.TemporaryDirectory(prefix="nginx-") as directory:
        context = Path(directory)
        (context / "Dockerfile").write_bytes((IMAGES / "nginx" / "Dockerfile").read_bytes())
        cluster.docker("build", "--quiet", "--network=host", f"--tag={image}", f"--build-arg=BASE={base}", str(context))
    cluster.load(image)
    return True


def _git(*args: str, check: bool = True) -> bytes:
    return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, check=check).stdout


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
