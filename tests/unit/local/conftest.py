"""A separate cache for each test, fake programs, and a file server."""

from __future__ import annotations

import http.server
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from hopper.local.binary_catalogue import CLUSTER_BINARIES

# Some tests replace sys.executable.
PYTHON = sys.executable
Script = Callable[[Path, str], Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cache directory of the test. Variables of the developer's environment are removed."""
    for name in [name for name in os.environ if name.startswith(("HOPPER_", "KWOK_"))]:
        monkeypatch.delenv(name)
    directory = tmp_path / "cache"
    monkeypatch.setenv("HOPPER_CACHE", str(directory))
    return directory


@dataclass
class Notes:
    """A Progress that records its messages."""

    lines: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.lines.append(text)

    def step(self, title: str, expected: float | None = None) -> _Step:
        return _Step(self.lines, title)


@dataclass
class _Step:
    lines: list[str]
    title: str

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.lines.append(f"{self.title}: {'failed' if kind else 'done'}")


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], None]:
    """Wait for a condition, up to 20 s."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "this took too long"
            time.sleep(0.02)

    return wait


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def script() -> Script:
    """Write an executable Python script."""

    def write(path: Path, body: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{PYTHON}\n{textwrap.dedent(body)}")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def path_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory that is the only one on the PATH."""
    directory = tmp_path / "path"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


@pytest.fixture
def kube_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Script) -> Path:
    """HOPPER_KUBE_BIN with fake programs of a cluster."""
    directory = tmp_path / "kube-bin"
    for binary in CLUSTER_BINARIES:
        script(directory / binary.name, "")
    for name in ("kwokctl", "kubectl"):
        shutil.copy(Path(__file__).with_name(f"fake_{name}.py"), directory / f"{name}.py")
        text = (directory / f"{name}.py").read_text()
        script(directory / name, text)
        (directory / f"{name}.py").unlink()
    monkeypatch.setenv("HOPPER_KUBE_BIN", str(directory))
    return directory


@pytest.fixture
def file_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """URL of a file server, and the directory that it serves."""
    directory = tmp_path / "served"
    directory.mkdir()

    class QuietHandler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", directory
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
