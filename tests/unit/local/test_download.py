"""Downloads of official binaries, from a local file server."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopper.local import download
from hopper.local.binary_catalogue import (
    CLUSTER_BINARIES,
    ETCD,
    HELM,
    KUBERNETES,
    KWOK,
    TOOL_BINARIES,
    BinaryStore,
    Platform,
)
from hopper.local.errors import ChecksumError, DownloadError

LINUX = Platform("linux", "amd64")
FileServer = tuple[str, Path]


@pytest.fixture
def store(cache: Path) -> BinaryStore:
    return BinaryStore(cache, LINUX)


@pytest.fixture
def mirror(file_server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Publish all files on a mirror and return its directory. `broken` is a file with a wrong checksum."""
    address, directory = file_server
    monkeypatch.setenv("HOPPER_DOWNLOAD_URL", f"{address}/")

    def publish(*, broken: str = "") -> Path:
        for binary in (*CLUSTER_BINARIES, *TOOL_BINARIES):
            source = download.release_file(binary, LINUX, address)
            path = directory / source.url.removeprefix(f"{address}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            content = content_of(binary.name)
            path.write_bytes(archive(source.member, content) if source.member else content)
            digest = "0" * 64 if source.name == broken else hashlib.sha256(path.read_bytes()).hexdigest()
            path.with_name(f"{path.name}.sha256").write_text(f"{digest}\n")
        return directory

    return publish


def content_of(name: str) -> bytes:
    return f"#!/bin/sh\necho {name}\n".encode() * 1000


def archive(member: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo(member)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_all_binaries_are_downloaded_from_the_mirror(
    store: BinaryStore, mirror: Callable[..., Path], notes: Any
) -> None:
    mirror()
    wanted = (*CLUSTER_BINARIES, *TOOL_BINARIES)
    download.download_binaries(store.missing(wanted), store, notes)
    assert store.missing(wanted) == []
    for name, path in store.paths(wanted).items():
        assert path.read_bytes() == content_of(name)
        assert path.stat().st_mode & 0o111
    assert not list(store.cache.rglob("*.part"))


def test_a_wrong_checksum_is_an_error_and_the_file_is_deleted(
    store: BinaryStore, mirror: Callable[..., Path], notes: Any
) -> None:
    mirror(broken="kube-apiserver")
    with pytest.raises(ChecksumError, match=f"kube-apiserver: the SHA-256 is .* but the published one is {'0' * 64}"):
        download.download_binaries(store.missing(), store, notes)
    names = [binary.name for binary in store.missing()]
    assert "kube-apiserver" in names
    assert "etcd" not in names
    assert not list(store.cache.rglob("*.part"))


def test_files_that_the_mirror_lacks_stay_missing(store: BinaryStore, mirror: Callable[..., Path], notes: Any) -> None:
    directory = mirror()
    for file in (directory / "kwok").rglob("*.sha256"):
        file.unlink()
    next((directory / "etcd").rglob("*.tar.gz")).unlink()
    download.download_binaries(store.missing(), store, notes)
    assert [binary.name for binary in store.missing()] == ["etcd", "kwok", "kwokctl"]
    reported = [line for line in notes.lines if line.startswith("No prebuilt")]
    assert [line.split(":")[0] for line in reported] == [
        f"No prebuilt etcd {ETCD.version}",
        f"No prebuilt kwok {KWOK.version}",
    ]
    assert all("File not found" in line for line in reported)


def test_a_binary_that_its_archive_lacks_stays_missing(
    store: BinaryStore, mirror: Callable[..., Path], notes: Any
) -> None:
    tar = next((mirror() / "etcd").rglob("*.tar.gz"))
    tar.write_bytes(archive("something/else", b""))
    tar.with_name(f"{tar.name}.sha256").write_text(hashlib.sha256(tar.read_bytes()).hexdigest())
    download.download_binaries(store.missing(), store, notes)
    assert [binary.name for binary in store.missing()] == ["etcd"]


def test_an_unreachable_site_is_reported_once_per_project(
    store: BinaryStore, monkeypatch: pytest.MonkeyPatch, notes: Any
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HOPPER_DOWNLOAD_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        download.download_binaries(store.missing(), store, notes)
    assert len(store.missing()) == len(CLUSTER_BINARIES)
    assert len(notes.lines) == 3
    assert all("Connection refused" in line for line in notes.lines)


def test_a_site_that_does_not_answer_times_out(store: BinaryStore, monkeypatch: pytest.MonkeyPatch, notes: Any) -> None:
    monkeypatch.setattr(download, "_CHECKSUM_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(download, "_STALL_TIMEOUT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HOPPER_DOWNLOAD_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        download.download_binaries(store.missing(), store, notes)
    assert notes.lines
    assert all("did not answer within" in line for line in notes.lines)


def test_none_disables_downloads(store: BinaryStore, monkeypatch: pytest.MonkeyPatch, notes: Any) -> None:
    monkeypatch.setenv("HOPPER_DOWNLOAD_URL", "none")
    download.download_binaries(store.missing(), store, notes)
    assert notes.lines == []


def test_other_url_schemes_are_rejected(store: BinaryStore, monkeypatch: pytest.MonkeyPatch, notes: Any) -> None:
    monkeypatch.setenv("HOPPER_DOWNLOAD_URL", "file:///etc")
    download.download_binaries(store.missing(), store, notes)
    assert "use an http(s) address" in notes.lines[0]


def test_macos_has_no_official_control_plane(cache: Path, notes: Any) -> None:
    store = BinaryStore(cache, Platform("darwin", "arm64"))
    download.download_binaries(store.missing(), store, notes)
    assert notes.lines == ["There are no official binaries of the control plane for darwin-arm64"]


def test_official_urls() -> None:
    found = {binary.name: download.release_file(binary, LINUX) for binary in (*CLUSTER_BINARIES, *TOOL_BINARIES)}
    kube, etcd, kwok = KUBERNETES.version, ETCD.version, KWOK.version
    server = found["kube-apiserver"]
    assert server.url == f"https://dl.k8s.io/release/{kube}/bin/linux/amd64/kube-apiserver"
    assert server.checksum_url == f"{server.url}.sha256"
    releases = "https://github.com/etcd-io/etcd/releases/download"
    assert found["etcd"].url == f"{releases}/{etcd}/etcd-{etcd}-linux-amd64.tar.gz"
    assert found["etcd"].checksum_url == f"{releases}/{etcd}/SHA256SUMS"
    assert found["etcd"].member == f"etcd-{etcd}-linux-amd64/etcd"
    assert found["helm"].url == f"https://get.helm.sh/helm-{HELM.version}-linux-amd64.tar.gz"
    assert found["helm"].checksum_url == f"{found['helm'].url}.sha256sum"
    assert found["helm"].member == "linux-amd64/helm"
    assert found["kwokctl"].url.endswith(f"/{kwok}/kwokctl-linux-amd64")
    assert found["kwokctl"].checksum_url.endswith(f"/repos/kubernetes-sigs/kwok/releases/tags/{kwok}")


DIGEST = "AB" * 32


@pytest.mark.parametrize(
    "text",
    [
        DIGEST,
        f"{DIGEST}\n",
        f"{'0' * 64}  other\n{DIGEST}  the-file\n",
        f"{DIGEST} *the-file",
        json.dumps({"assets": [{"name": "the-file", "digest": f"sha256:{DIGEST}"}]}),
    ],
)
def test_published_checksum_formats(text: str) -> None:
    assert download.published_checksum(text, "the-file") == DIGEST.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>Sign in to the network</html>",
        f"{DIGEST}  other\n",
        "[]",
        json.dumps({"assets": [{"name": "the-file", "digest": None}]}),
        json.dumps({"assets": [{"name": "the-file", "digest": f"md5:{DIGEST}"}]}),
        json.dumps({"assets": [{"name": "other", "digest": f"sha256:{DIGEST}"}]}),
    ],
)
def test_texts_without_the_checksum(text: str) -> None:
    assert download.published_checksum(text, "the-file") is None


def test_an_interrupted_download_is_not_a_checksum_mismatch(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DownloadError, match="ended after 4 of 100 bytes"):
            download._save(f"http://127.0.0.1:{server.getsockname()[1]}/x", tmp_path / "x")
        thread.join()
