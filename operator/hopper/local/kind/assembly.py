"""A node image put together from packages and from programs built from source, where none can be pulled.

The steps are those of `kind build node-image`: a base with systemd and containerd, the images of the control plane
imported into its containerd, and the whole committed as one image.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hopper.local import binaries
from hopper.local.catalogue import BINARIES, KIND, KUBERNETES, NODE, toolchain
from hopper.local.errors import DockerError
from hopper.local.kind import debian
from hopper.local.kind.docker import Docker, program
from hopper.local.kind.sources import KindSources, kind_sources
from hopper.local.progress import Progress

_CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
_RECIPES = ("node", "busybox", "kube-proxy")
_BASE_SECONDS = 60.0
_IMAGES_SECONDS = 40.0
_IMPORT_SECONDS = 60.0
_CONTAINERD_WITHIN = 60.0
_ENTRYPOINT = '["/usr/local/bin/entrypoint", "/sbin/init"]'


def image_name() -> str:
    """The image of these versions, made in this way."""
    modules = [(toolchain(name) / "go.mod").read_bytes() for name in (KUBERNETES.toolchain, KIND.toolchain)]
    recipe = b"\0".join([*modules, *map(debian.recipe_of, _RECIPES)])
    return f"hopper.local/kind-node:{KUBERNETES.version}-{hashlib.sha256(recipe).hexdigest()[:12]}"


def assemble(docker: Docker, cache: Path, progress: Progress) -> str:
    """Have the image. What an interrupted call has done stays done.

    Raises BinariesError, DockerError, ProviderError.
    """
    image = image_name()
    if docker.has_image(image):
        return image
    sources = kind_sources(cache, progress)
    programs = binaries.ensure(cache, progress, (*BINARIES, *NODE))
    base = debian.debian_image(docker, cache, progress)
    with tempfile.TemporaryDirectory(prefix="node-", dir=cache) as scratch:
        make = _Assembly(docker, sources, programs, base, Path(scratch))
        with progress.step("Building the base of the node image", _BASE_SECONDS):
            node = make.node_base(image)
        with progress.step("Building the images of the control plane", _IMAGES_SECONDS):
            images = make.component_images()
        with progress.step("Importing them into the node image", _IMPORT_SECONDS):
            make.commit(node, images, image)
    older = docker("image", "ls", "--format={{.Repository}}:{{.Tag}}", image.partition(":")[0]).split()
    docker("image", "rm", "--force", *images, node, *(name for name in older if name != image), check=False)
    return image


@dataclass(frozen=True)
class _Assembly:
    docker: Docker
    sources: KindSources
    programs: Mapping[str, Path]
    debian: str
    scratch: Path

    def node_base(self, image: str) -> str:
        """The node without its images."""
        context = debian.context_of("node", self.scratch)
        shutil.copytree(self.sources.node_files, context / "kind")
        (context / "default-storage.yaml").write_text(self.sources.storage_manifest, encoding="utf-8")
        (context / "version").write_text(KUBERNETES.version, encoding="utf-8")
        for name in ("kubeadm", "kubelet", "kubectl"):
            self._take(name, context)
        base = image.replace("kind-node:", "kind-base:")
        debian.build(self.docker, context, base, self.debian)
        return base

    def component_images(self) -> list[str]:
        """Everything that kubeadm, containerd and the storage class ask for, under the names they ask for."""
        required = {repository(name): name for name in self._required_by_kubeadm()}
        provisioner, helper = self.sources.storage_images
        named = [required.pop("kube-proxy")]
        self._from_recipe("kube-proxy", named[0], "kube-proxy")
        pause = required.pop("pause")
        self._from_recipe("busybox", pause)
        for alias in (self.sources.sandbox_image, helper):
            self.docker("tag", pause, alias)
        named += [pause, self.sources.sandbox_image, helper]
        for program_, image in {**required, "local-path-provisioner": provisioner}.items():
            self._from_scratch(program_, image)
            named.append(image)
        return named

    def commit(self, base: str, images: list[str], image: str) -> None:
        """Import the images into the containerd of a container of the base, and make an image of that container."""
        container = self.docker(
            "run", "--detach", "--entrypoint=sleep", "--security-opt=seccomp=unconfined", base, "infinity"
        ).strip()
        try:
            self.docker("exec", "--detach", container, "containerd")
            self._await_containerd(container)
            self._import(container, images)
            self.docker("exec", container, "sh", "-c", "kill $(pidof containerd) && rm -rf /run/containerd")
            self.docker("commit", f"--change=ENTRYPOINT {_ENTRYPOINT}", container, image)
        finally:
            self.docker("rm", "--force", "--volumes", container, check=False)

    def _required_by_kubeadm(self) -> list[str]:
        version = f"--kubernetes-version={KUBERNETES.version}"
        return self.docker.run([str(self.programs["kubeadm"]), "config", "images", "list", version]).split()

    def _from_recipe(self, recipe: str, image: str, *programs: str) -> None:
        context = debian.context_of(recipe, self.scratch)
        for name in programs:
            self._take(name, context)
        debian.build(self.docker, context, image, self.debian)

    def _from_scratch(self, name: str, image: str) -> None:
        """An image with nothing but one static program, which may also be called by its name alone."""
        context = self.scratch / f"image-of-{name}"
        context.mkdir()
        self._take(name, context)
        path = f"/usr/local/bin/{name}"
        (context / "Dockerfile").write_text(
            f'FROM scratch\nCOPY {name} {path}\nENV PATH=/usr/local/bin\nENTRYPOINT ["{path}"]\n', encoding="utf-8"
        )
        debian.build(self.docker, context, image)

    def _take(self, name: str, context: Path) -> None:
        target = context / name
        try:
            os.link(self.programs[name], target)
        except OSError:
            shutil.copy2(self.programs[name], target)

    def _await_containerd(self, container: str) -> None:
        deadline = time.monotonic() + _CONTAINERD_WITHIN
        while not self.docker("exec", container, "ctr", "version", check=False):
            if time.monotonic() > deadline:
                raise DockerError("containerd did not start in the base of the node image")
            time.sleep(0.2)

    def _import(self, container: str, images: list[str]) -> None:
        importing = ["ctr", "--namespace=k8s.io", "images", "import", "--no-unpack", "-"]
        environment = self.docker.environment
        docker = program("docker")
        with subprocess.Popen([docker, "save", *images], stdout=subprocess.PIPE, env=environment) as save:
            done = subprocess.run(
                [docker, "exec", "--interactive", container, *importing],
                stdin=save.stdout,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode or save.returncode:
            raise DockerError(f"the images cannot be imported into the node image: {done.stderr.strip()}")


def repository(image: str) -> str:
    """The last part of an image's name: `coredns` of registry.k8s.io/coredns/coredns:v1."""
    return image.rpartition("/")[2].partition(":")[0]
