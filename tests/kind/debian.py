"""Base images from Debian packages, for machines that reach no image registry."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from hopper.local.docker import Docker
from hopper.local.errors import DockerError
from hopper.local.progress import Progress
from tests.kind.host_programs import ensure_program, find_program, search_path
from tests.kind.images import build_image, copy_recipe, has_image, recipe_content

DEBIAN_MIRROR_VARIABLE = "HOPPER_DEBIAN_MIRROR"

_DEFAULT_MIRROR = "http://deb.debian.org/debian"
_SUITE = "bookworm"
_DEBIAN_IMAGE = f"hopper.local/debian:{_SUITE}"
_USUAL_DEBOOTSTRAP_SECONDS = 40.0
_USUAL_PYTHON_SECONDS = 20.0
# Directories that a container does not need.
_REMOVED_DIRECTORIES = (
    *("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man"),
    *("var/cache/apt", "var/lib/apt/lists"),
)
_CA_BUNDLES = tuple(map(Path, ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")))


def debian_image(docker: Docker, cache: Path, progress: Progress) -> str:
    """Return the name of a minimal Debian image, and build the image with debootstrap if needed. Needs root.

    Raises DockerError, ProviderError.
    """
    if not has_image(docker, _DEBIAN_IMAGE):
        ensure_program("debootstrap", "debootstrap")
        with progress.step(f"Building a Debian {_SUITE} image from packages", _USUAL_DEBOOTSTRAP_SECONDS):
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="debian-", dir=cache) as scratch:
                root = Path(scratch) / "root"
                _debootstrap(root)
                _import_root(docker, root)
    return _DEBIAN_IMAGE


def python_image(docker: Docker, cache: Path, progress: Progress) -> str:
    """Return the name of a Debian image with Python, and build the image if needed. Needs root.

    The image trusts the certificate authorities of this machine, because downloads may pass through its proxy.
    Raises DockerError, ProviderError.
    """
    authorities = next((path.read_bytes() for path in _CA_BUNDLES if path.exists()), b"")
    recipe = recipe_content("python") + authorities
    image = f"hopper.local/python:{_SUITE}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if not has_image(docker, image):
        base = debian_image(docker, cache, progress)
        with (
            progress.step("Building a Python image from packages", _USUAL_PYTHON_SECONDS),
            tempfile.TemporaryDirectory(prefix="python-", dir=cache) as scratch,
        ):
            context = copy_recipe("python", Path(scratch))
            (context / "ca-certificates.crt").write_bytes(authorities)
            build_image(docker, context, image, base)
    return image


def _debootstrap(root: Path) -> None:
    mirror = os.environ.get(DEBIAN_MIRROR_VARIABLE) or _DEFAULT_MIRROR
    result = subprocess.run(
        [find_program("debootstrap"), "--variant=minbase", _SUITE, str(root), mirror],
        env=os.environ | {"PATH": search_path()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        tail = "\n".join(f"  {line}" for line in (result.stdout + result.stderr).splitlines()[-10:])
        raise DockerError(
            f"debootstrap failed on {platform.machine()} with the mirror {mirror}:\n{tail}\n"
            f"Set {DEBIAN_MIRROR_VARIABLE} to use another mirror"
        )
    for directory in _REMOVED_DIRECTORIES:
        shutil.rmtree(root / directory, ignore_errors=True)
    for directory in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
        (root / directory).mkdir(parents=True)


def _import_root(docker: Docker, root: Path) -> None:
    archive = [find_program("tar"), "--create", "--directory", str(root), "."]
    with subprocess.Popen(archive, stdout=subprocess.PIPE) as tar:
        result = subprocess.run(
            [find_program("docker"), "import", '--change=CMD ["bash"]', "-", _DEBIAN_IMAGE],
            stdin=tar.stdout,
            env=docker.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode or tar.returncode:
        raise DockerError(f"docker import of the Debian image failed: {result.stderr.strip()}")
