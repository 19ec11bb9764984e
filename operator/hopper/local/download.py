"""Official prebuilt binaries, from their projects' own download sites or a mirror, used only if the checksum is right.

`HOPPER_DOWNLOAD_URL` names a mirror, `none` turns downloading off. A mirror has the sites' files below
`kubernetes/`, `etcd/`, `kwok/` and `helm/`, each with its checksum beside it as `<file>.sha256`.
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

from hopper.local.catalogue import ETCD, HELM, KUBERNETES, KWOK, Binary, Platform, Project, Store
from hopper.local.errors import ChecksumError, DownloadError
from hopper.local.progress import Progress

MIRROR = "HOPPER_DOWNLOAD_URL"
OFF = "none"

_SITES = {
    KUBERNETES: "https://dl.k8s.io/release",
    ETCD: "https://github.com/etcd-io/etcd/releases/download",
    KWOK: "https://github.com/kubernetes-sigs/kwok/releases/download",
    HELM: "https://get.helm.sh",
}
# kwok publishes no checksum file, but GitHub tells the digest of every file of a release.
_KWOK_RELEASES = "https://api.github.com/repos/kubernetes-sigs/kwok/releases/tags"

# An unreachable site must not hold anybody up; a slow one may take its time.
_ANSWER_WITHIN = 5.0
_STALLED_AFTER = 30.0
_CHUNK = 1 << 20
_HEX = re.compile(r"[0-9a-fA-F]{64}")

T = TypeVar("T")


@dataclass(frozen=True)
class Asset:
    """A file to download and where its checksum is published. With `member` it is an archive that has the binary."""

    url: str
    checksum_url: str
    member: str = ""

    @property
    def file(self) -> str:
        """The file's own name."""
        return self.url.rpartition("/")[2]

    @property
    def site(self) -> str:
        """Whom it comes from."""
        return urlsplit(self.url).netloc


def fetch(missing: Sequence[Binary], store: Store, progress: Progress) -> None:
    """Download what can be had into the store; say why not where it cannot.

    Raises ChecksumError: a wrong file is a reason to stop, not to go on in another way.
    """
    mirror = os.environ.get(MIRROR)
    if mirror == OFF:
        return
    if store.platform.os != "linux":
        progress.note(f"There are no official binaries of the control plane for {store.platform}")
        return
    unusable: set[Project] = {binary.project for binary in missing} - _SITES.keys()
    for binary in missing:
        if binary.project not in unusable:
            try:
                _fetch_one(binary, asset(binary, store.platform, mirror), store, progress)
            except DownloadError as error:
                unusable.add(binary.project)
                progress.note(f"No prebuilt {binary.project.name} {binary.project.version}: {error}")


def asset(binary: Binary, platform: Platform, mirror: str | None = None) -> Asset:
    """Where the binary is published."""
    project, version = binary.project, binary.project.version
    base = f"{mirror.rstrip('/')}/{project.name}" if mirror else _SITES[project]
    etcd = f"etcd-{version}-{platform}"
    url = {
        KUBERNETES: f"{base}/{version}/bin/{platform.os}/{platform.arch}/{binary.name}",
        ETCD: f"{base}/{version}/{etcd}.tar.gz",
        KWOK: f"{base}/{version}/{binary.name}-{platform}",
        HELM: f"{base}/helm-{version}-{platform}.tar.gz",
    }[project]
    beside = f"{url}.sha256"
    published = {
        KUBERNETES: beside,
        ETCD: f"{base}/{version}/SHA256SUMS",
        KWOK: f"{_KWOK_RELEASES}/{version}",
        HELM: f"{url}.sha256sum",
    }[project]
    member = {ETCD: f"{etcd}/{binary.name}", HELM: f"{platform}/{binary.name}"}.get(project, "")
    return Asset(url, beside if mirror else published, member)


def published_checksum(text: str, file: str) -> str | None:
    """The SHA-256 of `file` in a `.sha256` file, a list as of sha256sum, or a GitHub release; None if not in there."""
    if _HEX.fullmatch(text.strip()):
        return text.strip().lower()
    for line in text.splitlines():
        digest, _, name = line.strip().partition(" ")
        if _HEX.fullmatch(digest) and name.strip().lstrip("*") == file:
            return digest.lower()
    try:
        entries = json.loads(text)["assets"]
        digests = {entry["name"]: entry.get("digest") or "" for entry in entries}
    except (ValueError, KeyError, TypeError):
        return None
    kind, _, digest = digests.get(file, "").partition(":")
    return digest.lower() if kind == "sha256" and _HEX.fullmatch(digest) else None


def _fetch_one(binary: Binary, source: Asset, store: Store, progress: Progress) -> None:
    text = _within(_ANSWER_WITHIN, lambda: _read(source.checksum_url), source.checksum_url)
    expected = published_checksum(text, source.file)
    if expected is None:
        raise DownloadError(f"{source.checksum_url} has no checksum of {source.file}")
    part = store.scratch(binary)
    with progress.step(f"Downloading {binary.title} from {source.site}"):
        try:
            target = part.with_name(f".{source.file}.part") if source.member else part
            actual = _save(source.url, target)
            if actual != expected:
                raise ChecksumError(
                    f"{source.url} has the SHA-256 {actual}, but {expected} is published: it was not used. "
                    f"Try again later, or set {MIRROR} to a mirror you trust, or to {OFF!r} to build from source"
                )
            if source.member:
                _extract(target, source.member, part)
            store.put(binary)
        finally:
            part.unlink(missing_ok=True)
            part.with_name(f".{source.file}.part").unlink(missing_ok=True)


def _open(url: str) -> http.client.HTTPResponse:
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{MIRROR} must be an http(s) address, or {OFF!r}: {url}")
    request = urllib.request.Request(url, headers={"User-Agent": "hopper"})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=_STALLED_AFTER)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"{url} cannot be had ({error.code} {error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url} cannot be had ({getattr(error, 'reason', None) or error})") from error
    assert isinstance(response, http.client.HTTPResponse)
    return response


def _read(url: str) -> str:
    with _open(url) as response:
        return response.read().decode(errors="replace")


def _save(url: str, target: Path) -> str:
    """Write the file and return its SHA-256."""
    digest = hashlib.sha256()
    size = 0
    try:
        with _open(url) as response, target.open("wb") as file:
            announced = response.headers.get("Content-Length")
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
    except http.client.HTTPException as error:
        raise DownloadError(f"{url} broke off ({error!r})") from error
    except TimeoutError as error:
        raise DownloadError(f"{url} stalled") from error
    if announced is not None and size != int(announced):
        raise DownloadError(f"{url} broke off after {size} of {announced} bytes")
    return digest.hexdigest()


def _extract(archive: Path, member: str, target: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            content = tar.extractfile(member)
            assert content is not None
            with content, target.open("wb") as file:
                shutil.copyfileobj(content, file)
    except (tarfile.TarError, KeyError) as error:
        raise DownloadError(f"there is no {member} in {archive.name} ({error})") from error


def _within(seconds: float, work: Callable[[], T], url: str) -> T:
    """The result of `work`, or DownloadError when it takes too long: name resolution has no time limit of its own."""
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
