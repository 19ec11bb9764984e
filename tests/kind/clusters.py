"""kind clusters of the tests, with the container engine and the node image that they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hopper.local.binaries import ensure_binaries
from hopper.local.cluster_files import cache_dir
from hopper.local.kind_cluster import KIND_TOOLS, NODE_IMAGE_VARIABLE, KindCluster
from hopper.local.progress import Progress
from tests.kind.debian import python_image
from tests.kind.engine import engine_lock, find_engine, private_engine
from tests.kind.node_image import assembled_image_name, choose_node_image


@contextmanager
def running_kind_cluster(name: str, progress: Progress, cache: Path | None = None) -> Iterator[KindCluster]:
    """Yield a running cluster. Afterwards, remove the cluster, and stop a private engine without containers.

    Raises LocalError.
    """
    cache = cache or cache_dir()
    try:
        yield start_kind_cluster(name, cache, progress)
    finally:
        stop_kind_cluster(name, cache, progress)


def start_kind_cluster(name: str, cache: Path, progress: Progress) -> KindCluster:
    """Start a cluster, with a private engine if no other engine answers. A failed start leaves nothing behind.

    Raises LocalError.
    """
    with engine_lock(cache, progress):
        docker, engine = find_engine(cache)
        try:
            if engine:
                engine.start(progress)
            image = choose_node_image(docker, cache, progress)
            cluster = KindCluster(name, cache=cache, docker=docker, image=image)
            cluster.up(progress)
        except BaseException:
            private_engine(cache).stop_if_idle(progress)
            raise
        return cluster


def stop_kind_cluster(name: str, cache: Path, progress: Progress) -> bool:
    """Remove the cluster, and stop a private engine without containers. Return whether there was either.

    Raises EngineError.
    """
    cluster, engine = KindCluster(name, cache=cache), private_engine(cache)
    if not cluster.kubeconfig.parent.exists() and not engine.needs_cleanup:
        return False
    with engine_lock(cache, progress):
        existed = cluster.down(progress)
        return engine.stop_if_idle(progress) or existed


def start_engine(cache: Path, progress: Progress) -> Mapping[str, str]:
    """Start an engine if none answers, and build the images. Return the environment for `hopper local` and docker.

    Raises BinariesError, DockerError, EngineError, ProviderError.
    """
    with engine_lock(cache, progress):
        docker, engine = find_engine(cache)
        if engine:
            engine.start(progress)
        ensure_binaries(cache, progress, KIND_TOOLS)
        environment = {"DOCKER_HOST": docker.host} if docker.host else {}
        image = choose_node_image(docker, cache, progress)
        environment[NODE_IMAGE_VARIABLE] = image
        if image == assembled_image_name():
            environment["BASE_IMAGE"] = python_image(docker, cache, progress)
        return environment


def stop_engine(cache: Path, progress: Progress) -> None:
    """Stop a private engine with all its containers.

    Raises EngineError.
    """
    with engine_lock(cache, progress):
        private_engine(cache).stop(progress)
