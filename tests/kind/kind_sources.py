"""The parts of kind's Go module that a node image needs: files of the node, image names and the storage manifest."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hopper.local.binary_catalogue import KIND, this_platform
from hopper.local.errors import BuildError
from hopper.local.go_build import copy_toolchain
from hopper.local.go_toolchain import GoToolchain, find_go
from hopper.local.progress import Progress

_NODE_FILES = "images/base/files"
_STORAGE = "pkg/build/nodeimage/const_storage.go"
_DEFAULTS = "pkg/apis/config/defaults/image.go"

_QUOTED_CONSTANT = re.compile(r'^const (\w+) = "([^"]*)"$', re.MULTILINE)
_RAW_CONSTANT = re.compile(r"^const (\w+) = (`[^`]*`(?: \+ (?:\w+|`[^`]*`))*)", re.MULTILINE)


@dataclass(frozen=True)
class KindSources:
    """The sources of kind that are kept in the cache."""

    directory: Path

    @property
    def node_files(self) -> Path:
        """Directory of the files that kind copies to the root directory of a node."""
        return self.directory / _NODE_FILES

    @property
    def default_image(self) -> str:
        """Node image that this version of kind was released with."""
        return go_string_constants(self._read(_DEFAULTS))["Image"]

    @property
    def storage_manifest(self) -> str:
        """Manifest of the default StorageClass and its provisioner."""
        return go_string_constants(self._read(_STORAGE))["defaultStorageManifest"]

    @property
    def storage_images(self) -> tuple[str, str]:
        """Images of the storage manifest: the provisioner, and the helper that creates its directories."""
        constants = go_string_constants(self._read(_STORAGE))
        return constants["storageProvisionerImage"], constants["storageHelperImage"]

    @property
    def sandbox_image(self) -> str:
        """Image of the pause container of every pod."""
        match = re.search(r'sandbox_image = "([^"]+)"', self._read(f"{_NODE_FILES}/etc/containerd/config.toml"))
        assert match, "kind no longer sets sandbox_image in its containerd configuration"
        return match[1]

    def _read(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8")


def kind_sources(cache: Path, progress: Progress) -> KindSources:
    """Return the sources of the pinned kind, and download them with Go if needed.

    Raises BuildError, GoNotFoundError.
    """
    directory = cache / "kind" / KIND.version / "sources"
    if not directory.exists():
        with progress.step(f"Downloading the sources of kind {KIND.version}"):
            go = find_go(cache, this_platform(), progress)
            directory.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="sources-", dir=directory.parent) as scratch:
                _copy_used_files(_download_module(go, Path(scratch)), Path(scratch) / "kept")
                (Path(scratch) / "kept").rename(directory)
            go.discard()
    return KindSources(directory)


def go_string_constants(code: str) -> dict[str, str]:
    """Return the string constants of a Go file by name, including concatenated ones."""
    constants = dict(_QUOTED_CONSTANT.findall(code))
    for name, expression in _RAW_CONSTANT.findall(code):
        terms = re.findall(r"`([^`]*)`|(\w+)", expression)
        constants[name] = "".join(text or constants.get(reference, "") for text, reference in terms)
    return constants


def _download_module(go: GoToolchain, scratch: Path) -> Path:
    result = subprocess.run(
        [str(go.program), "mod", "download", "-json", KIND.module],
        cwd=copy_toolchain(KIND.toolchain, scratch),
        env=os.environ | go.environment | {"GOTOOLCHAIN": "local", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        output = result.stderr.strip() or result.stdout.strip()
        raise BuildError(
            f"downloading the sources of kind failed: {output}\nSet GOPROXY if the Go module proxy is unreachable"
        )
    return Path(json.loads(result.stdout)["Dir"])


def _copy_used_files(module: Path, target: Path) -> None:
    # Contents only: the module cache makes its files read-only.
    shutil.copytree(module / _NODE_FILES, target / _NODE_FILES, copy_function=shutil.copyfile)
    for name in (_STORAGE, _DEFAULTS):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module / name, target / name)
    for directory in (target, *(path for path in target.rglob("*") if path.is_dir())):
        directory.chmod(0o755)
