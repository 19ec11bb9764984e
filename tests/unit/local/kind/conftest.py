"""Fake docker, kind and dockerd programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kind import host_programs

Script = Callable[[Path, str], Path]

# Files beside the script are its state: `docker-log` (all calls), `images`, `containers`, `engine-is-down`, and
# `pulls`, without which no registry answers.
FAKE_DOCKER = """
import os
import sys
from pathlib import Path

here = Path(__file__).parent
words = sys.argv[1:]
with (here / "docker-log").open("a") as log:
    log.write(" ".join(words) + "\\n")
images = (here / "images").read_text().split() if (here / "images").exists() else []
socket = os.environ.get("DOCKER_HOST", "").removeprefix("unix://")
if (here / "engine-is-down").exists() and not (socket and Path(socket).exists()):
    sys.exit("Cannot connect to the Docker daemon")
if words[:2] == ["image", "ls"]:
    print("\\n".join(name for name in images if name == words[-1]))
elif words[0] == "ps":
    print((here / "containers").read_text() if (here / "containers").exists() else "", end="")
elif words[0] == "rm":
    (here / "containers").unlink(missing_ok=True)
elif words[0] in ("manifest", "pull") and not (here / "pulls").exists():
    sys.exit("no route to the registry")
elif words[0] == "pull":
    (here / "images").write_text("\\n".join([*images, words[-1]]))
elif words[0] == "logs":
    print("the end of the node's log")
"""

FAKE_KIND = """
import sys
from pathlib import Path

here = Path(__file__).parent
with (here / "kind-log").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "create" and (here / "kind-fails").exists():
    sys.exit((here / "kind-fails").read_text())
if sys.argv[1] == "create":
    Path(next(arg for arg in sys.argv if arg.startswith("--kubeconfig=")).partition("=")[2]).touch()
"""

# The fake docker reports an engine as running as long as its socket exists.
FAKE_DOCKERD = """
import os
import signal
import sys
from pathlib import Path

options = dict(arg.split("=", 1) for arg in sys.argv[1:])
if (Path(__file__).parent / "dockerd-fails").exists():
    sys.exit("failed to start daemon: no such device")
socket = Path(options["--host"].removeprefix("unix://"))
Path(options["--pidfile"]).write_text(str(os.getpid()))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
socket.touch()
try:
    while True:
        signal.pause()
finally:
    socket.unlink()
"""


@pytest.fixture
def tools(path_of: Path, kube_bin: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with docker and dockerd only, and kind in HOPPER_KUBE_BIN."""
    monkeypatch.setattr(host_programs, "_SYSTEM_DIRECTORIES", ())
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    script(path_of / "docker", FAKE_DOCKER)
    script(path_of / "dockerd", FAKE_DOCKERD)
    for name in ("iptables", "ip6tables", "ip", "umount"):
        script(path_of / name, "")
    script(kube_bin / "kind", FAKE_KIND)
    script(kube_bin / "kubectl", """print('{"serverVersion": {"gitVersion": "v1.36.3"}}')""")
    return path_of


@pytest.fixture
def docker_calls(tools: Path) -> Callable[[], list[str]]:
    """Return the docker commands so far."""
    return lambda: (tools / "docker-log").read_text().splitlines()
