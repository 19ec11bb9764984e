"""Images from Debian's packages, for machines that reach no registry of images."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from hopper.local.errors import DockerError
from hopper.local.kind import packages
from hopper.local.kind.docker import Docker, program
from hopper.local.progress import Progress

MIRROR = "HOPPER_DEBIAN_MIRROR"
_DEFAULT_MIRROR = "http://deb.debian.org/debian"
_SUITE = "bookworm"
_DEBOOTSTRAP_SECONDS = 40.0
_PYTHON_SECONDS = 20.0
# Documentation and translations have no readers in a container.
_USELESS = (
    *("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man"),
    *("var/cache/apt", "var/lib/apt/lists"),
)
_AUTHORITIES = tuple(map(Path, ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")))

DEBIAN = f"hopper.local/debian:{_SUITE}"


def debian_image(docker: Docker, cache: Path, progress: Progress) -> str:
    """A small Debian, made by debootstrap. Needs root. Raises DockerError, ProviderError."""
    if not docker.has_image(DEBIAN):
        packages.ensure("debootstrap", "debootstrap")
        with progress.step(f"Putting together Debian {_SUITE} from its packages", _DEBOOTSTRAP_SECONDS):
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="debian-", dir=cache) as scratch:
                root = Path(scratch) / "root"
                _debootstrap(root)
                _import(docker, root)
    return DEBIAN


def python_image(docker: Docker, cache: Path, progress: Progress) -> str:
    """Debian with Python, and with the authorities that this machine trusts: downloads may pass through its proxy."""
    authorities = next((path.read_bytes() for path in _AUTHORITIES if path.exists()), b"")
    recipe = recipe_of("python") + authorities
    image = f"hopper.local/python:{_SUITE}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if not docker.has_image(image):
        debian = debian_image(docker, cache, progress)
        with (
            progress.step("Putting together an image with Python", _PYTHON_SECONDS),
            tempfile.TemporaryDirectory(prefix="python-", dir=cache) as scratch,
        ):
            context = context_of("python", Path(scratch))
            (context / "ca-certificates.crt").write_bytes(authorities)
            build(docker, context, image, debian)
    return image


def recipe_of(name: str) -> bytes:
    """All that is written down about an image, to tell when it has changed."""
    files = sorted((resources.files("hopper.local.kind") / "images" / name).iterdir(), key=lambda file: file.name)
    return b"\0".join(file.read_bytes() for file in files)


def context_of(name: str, scratch: Path) -> Path:
    """A writable directory with what is written down about an image, ready to be built."""
    context = scratch / name
    context.mkdir()
    for file in (resources.files("hopper.local.kind") / "images" / name).iterdir():
        (context / file.name).write_bytes(file.read_bytes())
    return context


def build(docker: Docker, context: Path, image: str, debian: str = "") -> None:
    """Build an image, with the network of the machine: its name service may listen on loopback. Raises DockerError."""
    based = [f"--build-arg=DEBIAN={debian}"] if debian else []
    docker("build", "--quiet", "--network=host", f"--tag={image}", *based, str(context))


def mirror() -> str:
    """Where Debian's packages come from."""
    return os.environ.get(MIRROR) or _DEFAULT_MIRROR


def _debootstrap(root: Path) -> None:
    command = [program("debootstrap"), "--variant=minbase", _SUITE, str(root), mirror()]
    environment = os.environ | {"PATH": packages.search_path()}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        told = "\n".join(f"  {line}" for line in (done.stdout + done.stderr).splitlines()[-10:])
        raise DockerError(f"debootstrap failed on {platform.machine()}:\n{told}\n{MIRROR} names another mirror")
    for useless in _USELESS:
        shutil.rmtree(root / useless, ignore_errors=True)
    for directory in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
        (root / directory).mkdir(parents=True)


def _import(docker: Docker, root: Path) -> None:
    with subprocess.Popen([program("tar"), "--create", "--directory", str(root), "."], stdout=subprocess.PIPE) as tar:
        done = subprocess.run(
            [program("docker"), "import", '--change=CMD ["bash"]', "-", DEBIAN],
            stdin=tar.stdout,
            env=docker.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode or tar.returncode:
        raise DockerError(f"docker import failed: {done.stderr.strip()}")
