"""Official binaries, from a local file server."""

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
from hopper.local.catalogue import BINARIES, ETCD, HELM, KUBERNETES, KWOK, TOOLS, Platform, Store
from hopper.local.errors import ChecksumError, DownloadError

LINUX = Platform("linux", "amd64")
FileServer = tuple[str, Path]


@pytest.fixture
def store(cache: Path) -> Store:
    return Store(cache, LINUX)


@pytest.fixture
def mirror(file_server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Publish a mirror of everything; `broken` names files whose checksum is wrong. Returns its directory."""
    address, directory = file_server
    monkeypatch.setenv("HOPPER_DOWNLOAD_URL", f"{address}/")

    def publish(*, broken: str = "") -> Path:
        for binary in (*BINARIES, *TOOLS):
            source = download.asset(binary, LINUX, address)
            path = directory / source.url.removeprefix(f"{address}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            content = content_of(binary.name)
            path.write_bytes(archive(source.member, content) if source.member else content)
            digest = "0" * 64 if source.file == broken else hashlib.sha256(path.read_bytes()).hexdigest()
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


def test_everything_comes_from_the_mirror(store: Store, mirror: Callable[..., Path], notes: Any) -> None:
    mirror()
    wanted = (*BINARIES, *TOOLS)
    download.fetch(store.missing(wanted), store, notes)
    assert store.missing(wanted) == []
    for name, path in store.paths(wanted).items():
        assert path.read_bytes() == content_of(name)
        assert path.stat().st_mode & 0o111
    assert not list(store.cache.rglob("*.part"))


def test_a_wrong_checksum_is_an_error_and_the_file_is_not_used(
    store: Store, mirror: Callable[..., Path], notes: Any
) -> None:
    mirror(broken="kube-apiserver")
    with pytest.raises(ChecksumError, match=f"kube-apiserver has the SHA-256 .* but {'0' * 64} is published"):
        download.fetch(store.missing(), store, notes)
    names = [binary.name for binary in store.missing()]
    assert "kube-apiserver" in names
    assert "etcd" not in names
    assert not list(store.cache.rglob("*.part"))


def test_what_the_mirror_lacks_is_left_to_the_next_way(store: Store, mirror: Callable[..., Path], notes: Any) -> None:
    directory = mirror()
    for file in (directory / "kwok").rglob("*.sha256"):
        file.unlink()
    next((directory / "etcd").rglob("*.tar.gz")).unlink()
    download.fetch(store.missing(), store, notes)
    assert [binary.name for binary in store.missing()] == ["etcd", "kwok", "kwokctl"]
    told = [line for line in notes.lines if line.startswith("No prebuilt")]
    assert [line.split(":")[0] for line in told] == [
        f"No prebuilt etcd {ETCD.version}",
        f"No prebuilt kwok {KWOK.version}",
    ]
    assert all("File not found" in line for line in told)


def test_an_archive_without_the_binary_is_left_to_the_next_way(
    store: Store, mirror: Callable[..., Path], notes: Any
) -> None:
    tar = next((mirror() / "etcd").rglob("*.tar.gz"))
    tar.write_bytes(archive("something/else", b""))
    tar.with_name(f"{tar.name}.sha256").write_text(hashlib.sha256(tar.read_bytes()).hexdigest())
    download.fetch(store.missing(), store, notes)
    assert [binary.name for binary in store.missing()] == ["etcd"]


def test_an_unreachable_site_is_left_to_the_next_way(store: Store, monkeypatch: pytest.MonkeyPatch, notes: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HOPPER_DOWNLOAD_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        download.fetch(store.missing(), store, notes)
    assert len(store.missing()) == len(BINARIES)
    assert len(notes.lines) == 3
    assert all("Connection refused" in line for line in notes.lines)


def test_a_silent_site_holds_nobody_up(store: Store, monkeypatch: pytest.MonkeyPatch, notes: Any) -> None:
    monkeypatch.setattr(download, "_ANSWER_WITHIN", 0.1)
    monkeypatch.setattr(download, "_STALLED_AFTER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HOPPER_DOWNLOAD_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        download.fetch(store.missing(), store, notes)
    assert notes.lines
    assert all("did not answer within" in line for line in notes.lines)


def test_none_turns_downloading_off(store: Store, monkeypatch: pytest.MonkeyPatch, notes: Any) -> None:
    monkeypatch.setenv("HOPPER_DOWNLOAD_URL", "none")
    download.fetch(store.missing(), store, notes)
    assert notes.lines == []


def test_other_addresses_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch, notes: Any) -> None:
    monkeypatch.setenv("HOPPER_DOWNLOAD_URL", "file:///etc")
    download.fetch(store.missing(), store, notes)
    assert "must be an http(s) address" in notes.lines[0]


def test_macos_has_no_official_control_plane(cache: Path, notes: Any) -> None:
    store = Store(cache, Platform("darwin", "arm64"))
    download.fetch(store.missing(), store, notes)
    assert notes.lines == ["There are no official binaries of the control plane for darwin-arm64"]


def test_official_addresses() -> None:
    found = {binary.name: download.asset(binary, LINUX) for binary in (*BINARIES, *TOOLS)}
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
def test_checksums_are_read_as_they_are_published(text: str) -> None:
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
def test_no_checksum_is_no_checksum(text: str) -> None:
    assert download.published_checksum(text, "the-file") is None


def test_a_broken_off_download_is_not_a_wrong_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DownloadError, match="broke off"):
            download._save(f"http://127.0.0.1:{server.getsockname()[1]}/x", tmp_path / "x")
        thread.join()
