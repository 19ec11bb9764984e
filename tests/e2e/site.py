"""The clusters of the end-to-end tests, and the versions of Hopper that their nodes can run."""

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
from hopper.local.cluster_files import cache_dir
from hopper.local.kind_cluster import KindCluster
from hopper.local.progress import Progress
from tests.kind.clusters import running_kind_cluster, stop_kind_cluster
from tests.kind.debian import python_image
from tests.kind.images import pull_image

ROOT = Path(__file__).parents[2]
IMAGES = Path(__file__).parent / "images"
# e2e-<pid of the test run>
CLUSTER_NAME = re.compile(r"e2e-(\d+)")
OFFICIAL_PYTHON = "docker.io/library/python:3.13-slim"
CURRENT_IMAGE = "hopper.local/hopper:e2e"
PREVIOUS_IMAGE = "hopper.local/hopper:e2e-before"
_COMMITS_TO_TRY = 10


@dataclass(frozen=True)
class Version:
    """A version of Hopper: its chart, and an image that the nodes of the cluster have or can pull."""

    chart: Path
    image: str

    @property
    def values(self) -> Mapping[str, object]:
        """Value `image` of the chart."""
        repository, _, tag = self.image.rpartition(":")
        return {"registry": "", "repository": repository, "tag": tag}


@dataclass(frozen=True)
class Site:
    """A cluster, the version to test, and the previous version if there is an image of one."""

    cluster: Cluster
    version: Version
    previous: Version | None
    # Whether the nodes have or can pull the images of manifests/samples.
    has_sample_images: bool


@contextmanager
def kind_site(progress: Progress, scratch: Path) -> Iterator[Site]:
    """Yield a kind cluster with images of the working tree and of the previous commit. Remove it afterwards."""
    remove_leftovers(progress)
    with running_kind_cluster(f"e2e-{os.getpid()}", progress) as cluster:
        base = _base_image(cluster, progress)
        with progress.step("Building Hopper's image", 60):
            version = Version(ROOT / "charts" / "hopper", _build_image(cluster, base, ROOT, CURRENT_IMAGE))
        with progress.step("Building the image of the previous commit", 60):
            previous = _previous_version(cluster, base, scratch)
        with progress.step("Loading the images into the cluster", 30):
            cluster.load(version.image, previous.image)
            has_sample_images = base == OFFICIAL_PYTHON or _load_sample_image(cluster, base)
        yield Site(cluster, version, previous, has_sample_images)


@contextmanager
def current_site(image: str, previous_image: str | None) -> Iterator[Site]:
    """Yield the cluster of KUBECONFIG. Its nodes must be able to pull the images."""
    cluster = CurrentCluster()
    cluster.up()
    chart = ROOT / "charts" / "hopper"
    previous = Version(chart, previous_image) if previous_image else None
    yield Site(cluster, Version(chart, image), previous, has_sample_images=True)


def remove_leftovers(progress: Progress) -> None:
    """Remove the clusters of test runs that were killed."""
    for name in known_clusters():
        if (match := CLUSTER_NAME.fullmatch(name)) and not _is_running(int(match[1])):
            stop_kind_cluster(name, cache_dir(), progress)


def _base_image(cluster: KindCluster, progress: Progress) -> str:
    """Return the official Python image if it can be pulled, else one from packages."""
    if pull_image(cluster.docker, OFFICIAL_PYTHON, progress):
        return OFFICIAL_PYTHON
    return python_image(cluster.docker, cache_dir(), progress)


def _build_image(cluster: KindCluster, base: str, context: Path, image: str) -> str:
    revision = _git("rev-parse", "HEAD", check=False).decode().strip() or "unknown"
    arguments = [f"--build-arg=BASE_IMAGE={base}", f"--build-arg=REVISION={revision}"]
    cluster.docker("build", "--quiet", "--network=host", f"--tag={image}", *arguments, str(context))
    return image


def _previous_version(cluster: KindCluster, base: str, scratch: Path) -> Version:
    """Return the newest previous commit that has a chart and can be built, else the current version again."""
    commits = _git("rev-list", "--skip=1", f"--max-count={_COMMITS_TO_TRY}", "HEAD", check=False).decode().split()
    for commit in commits:
        tree = scratch / commit
        with tarfile.open(fileobj=BytesIO(_git("archive", commit))) as archive:
            archive.extractall(tree, filter="data")
        if not (tree / "charts" / "hopper" / "Chart.yaml").exists() or not (tree / "Dockerfile").exists():
            continue
        try:
            return Version(tree / "charts" / "hopper", _build_image(cluster, base, tree, PREVIOUS_IMAGE))
        except LocalError:
            continue
    cluster.docker("tag", CURRENT_IMAGE, PREVIOUS_IMAGE)
    return Version(ROOT / "charts" / "hopper", PREVIOUS_IMAGE)


def _load_sample_image(cluster: KindCluster, base: str) -> bool:
    """Build and load a substitute for the nginx image of the samples, because no registry is reachable."""
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


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
