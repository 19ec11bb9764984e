"""The node image of kind clusters: chosen by the user, pulled, or assembled from packages and Go programs.

The steps of the assembly are those of `kind build node-image`. They build a base with systemd and containerd, import
the images of the control plane into its containerd, and commit the result as one image.
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

from hopper.local.binaries import ensure_binaries
from hopper.local.binary_catalogue import CLUSTER_BINARIES, KIND, KUBERNETES, Binary, GoProject, toolchain_directory
from hopper.local.docker import Docker
from hopper.local.errors import DockerError, ProviderError
from hopper.local.kind_cluster import NODE_IMAGE_VARIABLE
from hopper.local.progress import Progress
from tests.kind.debian import debian_image
from tests.kind.host_programs import find_program
from tests.kind.images import build_image, copy_recipe, has_image, pull_image, recipe_content
from tests.kind.kind_sources import KindSources, kind_sources

_COREDNS = GoProject("coredns", "github.com/coredns/coredns", "kind")
_LOCAL_PATH = GoProject("local-path-provisioner", "github.com/rancher/local-path-provisioner", "kind")
# The programs of a node besides those of the control plane.
NODE_BINARIES = (
    Binary("kubeadm", KUBERNETES, "k8s.io/kubernetes/cmd/kubeadm", 20),
    Binary("kubelet", KUBERNETES, "k8s.io/kubernetes/cmd/kubelet", 30),
    Binary("kube-proxy", KUBERNETES, "k8s.io/kubernetes/cmd/kube-proxy", 15),
    Binary("coredns", _COREDNS, "github.com/coredns/coredns", 100),
    Binary("local-path-provisioner", _LOCAL_PATH, "github.com/rancher/local-path-provisioner", 50),
)

_RECIPES = ("node", "busybox", "kube-proxy")
_USUAL_BASE_SECONDS = 60.0
_USUAL_IMAGES_SECONDS = 40.0
_USUAL_IMPORT_SECONDS = 60.0
_CONTAINERD_WITHIN_SECONDS = 60.0
_ENTRYPOINT = '["/usr/local/bin/entrypoint", "/sbin/init"]'


def choose_node_image(docker: Docker, cache: Path, progress: Progress) -> str:
    """Return the user's node image, else an assembled or pulled one that the engine has, else assemble one.

    Raises BinariesError, DockerError, ProviderError.
    """
    if image := os.environ.get(NODE_IMAGE_VARIABLE):
        return image
    if has_image(docker, assembled_image_name()):
        return assembled_image_name()
    default = kind_sources(cache, progress).default_image
    if pull_image(docker, default, progress):
        return default
    if os.geteuid() != 0:
        raise ProviderError(
            f"the node image {default} cannot be pulled, and assembling one needs root: "
            f"set {NODE_IMAGE_VARIABLE} to an available image, or run this command once as root"
        )
    return assemble_node_image(docker, cache, progress)


def assembled_image_name() -> str:
    """Return the name of the assembled image, which depends on the pinned versions and the recipes."""
    modules = [(toolchain_directory(name) / "go.mod").read_bytes() for name in (KUBERNETES.toolchain, KIND.toolchain)]
    inputs = b"\0".join([*modules, *map(recipe_content, _RECIPES)])
    return f"hopper.local/kind-node:{KUBERNETES.version}-{hashlib.sha256(inputs).hexdigest()[:12]}"


def assemble_node_image(docker: Docker, cache: Path, progress: Progress) -> str:
    """Assemble the node image unless the engine has it. After an interruption, finished steps are not repeated.

    Raises BinariesError, DockerError, ProviderError.
    """
    image = assembled_image_name()
    if has_image(docker, image):
        return image
    sources = kind_sources(cache, progress)
    programs = ensure_binaries(cache, progress, (*CLUSTER_BINARIES, *NODE_BINARIES))
    debian = debian_image(docker, cache, progress)
    with tempfile.TemporaryDirectory(prefix="node-", dir=cache) as scratch:
        assembly = _NodeImageAssembly(docker, sources, programs, debian, Path(scratch))
        with progress.step("Building the base of the node image", _USUAL_BASE_SECONDS):
            base = assembly.build_base(image)
        with progress.step("Building the images of the control plane", _USUAL_IMAGES_SECONDS):
            images = assembly.build_component_images()
        with progress.step("Importing them into the node image", _USUAL_IMPORT_SECONDS):
            assembly.commit(base, images, image)
    existing = docker("image", "ls", "--format={{.Repository}}:{{.Tag}}", image.partition(":")[0]).split()
    outdated = [name for name in existing if name != image]
    docker("image", "rm", "--force", *images, base, *outdated, check=False)
    return image


@dataclass(frozen=True)
class _NodeImageAssembly:
    docker: Docker
    sources: KindSources
    programs: Mapping[str, Path]
    debian: str
    scratch: Path

    def build_base(self, image: str) -> str:
        """Build the node without its images, and return the name of the base."""
        context = copy_recipe("node", self.scratch)
        shutil.copytree(self.sources.node_files, context / "kind")
        (context / "default-storage.yaml").write_text(self.sources.storage_manifest, encoding="utf-8")
        (context / "version").write_text(KUBERNETES.version, encoding="utf-8")
        for name in ("kubeadm", "kubelet", "kubectl"):
            self._add_program(name, context)
        base = image.replace("kind-node:", "kind-base:")
        build_image(self.docker, context, base, self.debian)
        return base

    def build_component_images(self) -> list[str]:
        """Build the images that kubeadm, containerd and the StorageClass refer to, and return their names."""
        required = {repository_name(image): image for image in self._images_of_kubeadm()}
        provisioner, helper = self.sources.storage_images
        images = [required.pop("kube-proxy")]
        self._build_from_recipe("kube-proxy", images[0], "kube-proxy")
        pause = required.pop("pause")
        self._build_from_recipe("busybox", pause)
        for alias in (self.sources.sandbox_image, helper):
            self.docker("tag", pause, alias)
        images += [pause, self.sources.sandbox_image, helper]
        for program, image in {**required, "local-path-provisioner": provisioner}.items():
            self._build_from_program(program, image)
            images.append(image)
        return images

    def commit(self, base: str, images: list[str], image: str) -> None:
        """Import the images into the containerd of a container of the base, and commit the container."""
        container = self.docker(
            "run", "--detach", "--entrypoint=sleep", "--security-opt=seccomp=unconfined", base, "infinity"
        ).strip()
        try:
            self.docker("exec", "--detach", container, "containerd")
            self._wait_for_containerd(container)
            self._import_images(container, images)
            self.docker("exec", container, "sh", "-c", "kill $(pidof containerd) && rm -rf /run/containerd")
            self.docker("commit", f"--change=ENTRYPOINT {_ENTRYPOINT}", container, image)
        finally:
            self.docker("rm", "--force", "--volumes", container, check=False)

    def _images_of_kubeadm(self) -> list[str]:
        version = f"--kubernetes-version={KUBERNETES.version}"
        return self.docker.run([str(self.programs["kubeadm"]), "config", "images", "list", version]).split()

    def _build_from_recipe(self, recipe: str, image: str, *programs: str) -> None:
        context = copy_recipe(recipe, self.scratch)
        for name in programs:
            self._add_program(name, context)
        build_image(self.docker, context, image, self.debian)

    def _build_from_program(self, name: str, image: str) -> None:
        """Build an image that contains one static program only, which is also on the PATH."""
        context = self.scratch / f"image-of-{name}"
        context.mkdir()
        self._add_program(name, context)
        path = f"/usr/local/bin/{name}"
        (context / "Dockerfile").write_text(
            f'FROM scratch\nCOPY {name} {path}\nENV PATH=/usr/local/bin\nENTRYPOINT ["{path}"]\n', encoding="utf-8"
        )
        build_image(self.docker, context, image)

    def _add_program(self, name: str, context: Path) -> None:
        target = context / name
        try:
            os.link(self.programs[name], target)
        except OSError:
            shutil.copy2(self.programs[name], target)

    def _wait_for_containerd(self, container: str) -> None:
        deadline = time.monotonic() + _CONTAINERD_WITHIN_SECONDS
        while not self.docker("exec", container, "ctr", "version", check=False):
            if time.monotonic() > deadline:
                raise DockerError(
                    f"containerd did not start within {_CONTAINERD_WITHIN_SECONDS:.0f} s in the base of the node image"
                )
            time.sleep(0.2)

    def _import_images(self, container: str, images: list[str]) -> None:
        import_command = ["ctr", "--namespace=k8s.io", "images", "import", "--no-unpack", "-"]
        environment = self.docker.environment
        docker = find_program("docker")
        with subprocess.Popen([docker, "save", *images], stdout=subprocess.PIPE, env=environment) as save:
            result = subprocess.run(
                [docker, "exec", "--interactive", container, *import_command],
                stdin=save.stdout,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        if result.returncode or save.returncode:
            raise DockerError(f"importing images into the node image failed: {result.stderr.strip()}")


def repository_name(image: str) -> str:
    """Return the last part of an image's repository: `coredns` for registry.k8s.io/coredns/coredns:v1."""
    return image.rpartition("/")[2].partition(":")[0]
