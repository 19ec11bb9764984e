"""Downloads of the official binaries, verified against their published checksums.

`HOPPER_DOWNLOAD_URL` selects a mirror; `none` disables downloads. A mirror provides the files of the official sites in
the directories `kubernetes/`, `etcd/`, `kwok/` and `helm/`, and the checksum of each file as `<file>.sha256`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import queue
import re
import shutil
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from hopper.local.binary_catalogue import ETCD, HELM, KUBERNETES, KWOK, Binary, BinaryStore, GoProject, Platform
from hopper.local.errors import ChecksumError, DownloadError
from hopper.local.progress import Progress

DOWNLOAD_URL_VARIABLE = "HOPPER_DOWNLOAD_URL"

_DISABLED = "none"

_SITES = {
    KUBERNETES: "https://dl.k8s.io/release",
    ETCD: "https://github.com/etcd-io/etcd/releases/download",
    KWOK: "https://github.com/kubernetes-sigs/kwok/releases/download",
    HELM: "https://get.helm.sh",
}
# kwok publishes no checksum file, but GitHub publishes the digest of every release file.
_KWOK_RELEASES = "https://api.github.com/repos/kubernetes-sigs/kwok/releases/tags"

# An unreachable site must not delay the build from source for long. A slow download may continue.
_CHECKSUM_TIMEOUT_SECONDS = 5.0
_STALL_TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")

T = TypeVar("T")


@dataclass(frozen=True)
class ReleaseFile:
    """A published file and the address of its checksum. If `member` is set, the file is an archive with the binary."""

    url: str
    checksum_url: str
    member: str = ""

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return self.url.rpartition("/")[2]

    @property
    def site(self) -> str:
        """Host of the URL."""
        return urlsplit(self.url).netloc


def download_binaries(missing: Sequence[Binary], store: BinaryStore, progress: Progress) -> None:
    """Download the available binaries into the store, and report why others are not available.

    Raises ChecksumError: after a checksum mismatch, Hopper must stop instead of building from source.
    """
    mirror = os.environ.get(DOWNLOAD_URL_VARIABLE)
    if mirror == _DISABLED:
        return
    if store.platform.os != "linux":
        progress.note(f"There are no official binaries of the control plane for {store.platform}")
        return
    unavailable: set[GoProject] = {binary.project for binary in missing} - _SITES.keys()
    for binary in missing:
        if binary.project not in unavailable:
            try:
                _download_binary(binary, release_file(binary, store.platform, mirror), store, progress)
            except DownloadError as error:
                unavailable.add(binary.project)
                progress.note(f"No prebuilt {binary.project.name} {binary.project.version}: {error}")


def release_file(binary: Binary, platform: Platform, mirror: str | None = None) -> ReleaseFile:
    """Return the published file of a binary, on the official site or on a mirror."""
    project, version = binary.project, binary.project.version
    base = f"{mirror.rstrip('/')}/{project.name}" if mirror else _SITES[project]
    etcd = f"etcd-{version}-{platform}"
    url = {
        KUBERNETES: f"{base}/{version}/bin/{platform.os}/{platform.arch}/{binary.name}",
        ETCD: f"{base}/{version}/{etcd}.tar.gz",
        KWOK: f"{base}/{version}/{binary.name}-{platform}",
        HELM: f"{base}/helm-{version}-{platform}.tar.gz",
    }[project]
    mirror_checksum_url = f"{url}.sha256"
    official_checksum_url = {
        KUBERNETES: f"{url}.sha256",
        ETCD: f"{base}/{version}/SHA256SUMS",
        KWOK: f"{_KWOK_RELEASES}/{version}",
        HELM: f"{url}.sha256sum",
    }[project]
    member = {ETCD: f"{etcd}/{binary.name}", HELM: f"{platform}/{binary.name}"}.get(project, "")
    return ReleaseFile(url, mirror_checksum_url if mirror else official_checksum_url, member)


def published_checksum(text: str, file: str) -> str | None:
    """Return the SHA-256 of `file`, or None if `text` does not contain the checksum.

    `text` is a `.sha256` file, the output of sha256sum, or a GitHub release (JSON).
    """
    if _SHA256.fullmatch(text.strip()):
        return text.strip().lower()
    for line in text.splitlines():
        digest, _, name = line.strip().partition(" ")
        if _SHA256.fullmatch(digest) and name.strip().lstrip("*") == file:
            return digest.lower()
    try:
        entries = json.loads(text)["assets"]
        digests = {entry["name"]: entry.get("digest") or "" for entry in entries}
    except (ValueError, KeyError, TypeError):
        return None
    kind, _, digest = digests.get(file, "").partition(":")
    return digest.lower() if kind == "sha256" and _SHA256.fullmatch(digest) else None


def _download_binary(binary: Binary, source: ReleaseFile, store: BinaryStore, progress: Progress) -> None:
    checksums = _within(_CHECKSUM_TIMEOUT_SECONDS, lambda: _read_text(source.checksum_url), source.checksum_url)
    expected = published_checksum(checksums, source.name)
    if expected is None:
        raise DownloadError(f"{source.checksum_url} has no checksum of {source.name}")
    part = store.partial_path(binary)
    archive = part.with_name(f".{source.name}.part")
    with progress.step(f"Downloading {binary.title} from {source.site}"):
        try:
            target = archive if source.member else part
            actual = _save(source.url, target)
            if actual != expected:
                raise ChecksumError(
                    f"{source.url}: the SHA-256 is {actual}, but the published one is {expected}; the file was "
                    f"deleted. Try again later, or set {DOWNLOAD_URL_VARIABLE} to a mirror that you trust, or to "
                    f"{_DISABLED!r} to build from source"
                )
            if source.member:
                _extract(archive, source.member, part)
            store.commit(binary)
        finally:
            part.unlink(missing_ok=True)
            archive.unlink(missing_ok=True)


def _open(url: str) -> http.client.HTTPResponse:
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{DOWNLOAD_URL_VARIABLE}: {url} is not supported: use an http(s) address or {_DISABLED!r}")
    request = urllib.request.Request(url, headers={"User-Agent": "hopper"})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=_STALL_TIMEOUT_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"{url} is not available ({error.code} {error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url} is not available ({getattr(error, 'reason', None) or error})") from error
    assert isinstance(response, http.client.HTTPResponse)
    return response


def _read_text(url: str) -> str:
    with _open(url) as response:
        return response.read().decode(errors="replace")


def _save(url: str, target: Path) -> str:
    """Download a file and return its SHA-256."""
    digest = hashlib.sha256()
    size = 0
    try:
        with _open(url) as response, target.open("wb") as file:
            announced = response.headers.get("Content-Length")
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
    except http.client.HTTPException as error:
        raise DownloadError(f"the download of {url} was interrupted ({error!r})") from error
    except TimeoutError as error:
        raise DownloadError(f"the download of {url} stalled for {_STALL_TIMEOUT_SECONDS:.0f} s") from error
    if announced is not None and size != int(announced):
        raise DownloadError(f"the download of {url} ended after {size} of {announced} bytes")
    return digest.hexdigest()


def _extract(archive: Path, member: str, target: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            content = tar.extractfile(member)
            assert content is not None
            with content, target.open("wb") as file:
                shutil.copyfileobj(content, file)
    except (tarfile.TarError, KeyError) as error:
        raise DownloadError(f"{archive.name} does not contain {member} ({error})") from error


def _within(seconds: float, work: Callable[[], T], url: str) -> T:
    """Return the result of `work`. A thread enforces the limit, because name resolution has no timeout.

    Raises DownloadError.
    """
    results: queue.Queue[T | BaseException] = queue.Queue()

    def run() -> None:
        try:
            results.put(work())
        except BaseException as error:
            results.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise DownloadError(f"{url} did not answer within {seconds:.0f} s") from None
    if isinstance(result, BaseException):
        raise result
    return result
