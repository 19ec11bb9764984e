"""What is taken from kind's own sources: the files of a node, and the names and manifests it expects."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hopper.local import build, golang
from hopper.local.catalogue import KIND, this_platform
from hopper.local.errors import BuildError
from hopper.local.progress import Progress

_NODE_FILES = "images/base/files"
_STORAGE = "pkg/build/nodeimage/const_storage.go"
_DEFAULTS = "pkg/apis/config/defaults/image.go"

_CONSTANT = re.compile(r'^const (\w+) = "([^"]*)"$', re.MULTILINE)
_TEXT = re.compile(r"^const (\w+) = (`[^`]*`(?: \+ (?:\w+|`[^`]*`))*)", re.MULTILINE)


@dataclass(frozen=True)
class KindSources:
    """The part of kind's module that Hopper uses, kept in the cache."""

    directory: Path

    @property
    def node_files(self) -> Path:
        """What kind lays over the root directory of a node."""
        return self.directory / _NODE_FILES

    @property
    def default_image(self) -> str:
        """The node image that this version of kind was released with."""
        return constants(self._read(_DEFAULTS))["Image"]

    @property
    def storage_manifest(self) -> str:
        """The objects of the default storage class."""
        return constants(self._read(_STORAGE))["defaultStorageManifest"]

    @property
    def storage_images(self) -> tuple[str, str]:
        """The images in it: the provisioner, and the helper that makes its directories."""
        found = constants(self._read(_STORAGE))
        return found["storageProvisionerImage"], found["storageHelperImage"]

    @property
    def sandbox_image(self) -> str:
        """What holds the namespaces of every pod."""
        found = re.search(r'sandbox_image = "([^"]+)"', self._read(f"{_NODE_FILES}/etc/containerd/config.toml"))
        assert found, "kind names the image in its configuration of containerd"
        return found[1]

    def _read(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8")


def kind_sources(cache: Path, progress: Progress) -> KindSources:
    """The sources of the pinned kind, from the Go module cache or proxy. Raises BuildError, GoNotFoundError."""
    directory = cache / "kind" / KIND.version / "sources"
    if not directory.exists():
        with progress.step(f"Getting the sources of kind {KIND.version}"):
            go = golang.find(cache, this_platform(), progress)
            directory.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="sources-", dir=directory.parent) as scratch:
                _copy(_module(go, Path(scratch)), Path(scratch) / "kept")
                (Path(scratch) / "kept").rename(directory)
            go.discard()
    return KindSources(directory)


def constants(code: str) -> dict[str, str]:
    """The string constants of a Go file; those put together from others too."""
    found = dict(_CONSTANT.findall(code))
    for name, expression in _TEXT.findall(code):
        terms = re.findall(r"`([^`]*)`|(\w+)", expression)
        found[name] = "".join(text or found.get(reference, "") for text, reference in terms)
    return found


def _module(go: golang.Go, scratch: Path) -> Path:
    command = [str(go.program), "mod", "download", "-json", KIND.module]
    done = subprocess.run(
        command,
        cwd=build.copied_toolchain(KIND.toolchain, scratch),
        env=os.environ | go.environment | {"GOTOOLCHAIN": "local", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = done.stderr.strip() or done.stdout.strip()
        raise BuildError(f"the sources of kind cannot be had: {told}\nIf no module can be fetched, set GOPROXY")
    return Path(json.loads(done.stdout)["Dir"])


def _copy(module: Path, target: Path) -> None:
    # The files of the module cache are read-only, and their modes mean nothing.
    shutil.copytree(module / _NODE_FILES, target / _NODE_FILES, copy_function=shutil.copyfile)
    for name in (_STORAGE, _DEFAULTS):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module / name, target / name)
    for directory in (target, *(path for path in target.rglob("*") if path.is_dir())):
        directory.chmod(0o755)
