"""Changes of the machine by the private engine: runtime, firewall rules, mounts and packages."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hopper.local.errors import ProviderError
from tests.kind import host_programs
from tests.kind.engine import lacks_sys_resource, write_runc_wrapper
from tests.kind.host_programs import ensure_program, is_installed
from tests.kind.machine_snapshot import (
    MachineSnapshot,
    docker_rule_removals,
    forward_policy,
    mount_points_below,
    read_snapshot,
)
from tests.kind.runc_wrapper import configuration_file, restricted_process, restricted_spec

Script = Callable[[Path, str], Path]

PRIVILEGED = {
    "args": ["sh"],
    "oomScoreAdj": -999,
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1, "soft": 1}],
    "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "effective": ["CAP_SYS_RESOURCE"]},
}
RESTRICTED = {"args": ["sh"], "capabilities": {"bounding": ["CAP_CHOWN"], "effective": []}}


def test_requests_that_need_the_missing_capability_are_removed() -> None:
    assert restricted_process(PRIVILEGED) == RESTRICTED
    assert restricted_process({"oomScoreAdj": 1000}) == {"oomScoreAdj": 1000}
    assert restricted_spec({"hostname": "h", "process": PRIVILEGED}) == {"hostname": "h", "process": RESTRICTED}
    assert restricted_spec({"hostname": "h"}) == {"hostname": "h"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--root /r create --bundle /b --pid-file /p id", ("/b/config.json", False)),
        ("--root /r create --bundle=/b id", ("/b/config.json", False)),
        ("run -b /b id", ("/b/config.json", False)),
        ("create id", ("config.json", False)),
        ("--root /r exec --process /tmp/p --detach id", ("/tmp/p", True)),
        ("exec id sh", None),
        ("--root /r start id", None),
    ],
)
def test_the_configuration_file_follows_from_the_arguments_of_runc(
    arguments: str, expected: tuple[str, bool] | None
) -> None:
    target = configuration_file(arguments.split())
    assert (target and (str(target[0]), target[1])) == expected


def test_the_wrapper_executes_runc(tmp_path: Path, script: Script) -> None:
    script(tmp_path / "real-runc", "import sys; print(sys.argv[1:])")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps({"process": PRIVILEGED}))
    wrapper = write_runc_wrapper(tmp_path, str(tmp_path / "real-runc"))
    command = [str(wrapper), "create", "--bundle", str(bundle), "id"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(command[1:])
    assert json.loads((bundle / "config.json").read_text()) == {"process": RESTRICTED}


def test_the_bounding_set_decides_whether_the_capability_is_missing() -> None:
    status = "Name:\tx\nCapEff:\t0000000000000000\nCapBnd:\t{}\n"
    assert lacks_sys_resource(status.format("000001fffeffffff"))
    assert not lacks_sys_resource(status.format("000001ffffffffff"))


def test_only_dockers_firewall_rules_are_removed() -> None:
    rules = """-P FORWARD DROP
-N DOCKER
-N DOCKER-ISOLATION-STAGE-1
-N MINE
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i br-0123456789ab -o br-0123456789ab -j ACCEPT
-A FORWARD -i eth0 -j MINE
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -j ACCEPT
-A MINE -j RETURN""".splitlines()
    removals = [" ".join(arguments) for arguments in docker_rule_removals(rules)]
    assert removals == [
        "-D FORWARD -j DOCKER-ISOLATION-STAGE-1",
        "-D FORWARD -o docker0 -j DOCKER",
        "-D FORWARD -i br-0123456789ab -o br-0123456789ab -j ACCEPT",
        "-F DOCKER",
        "-F DOCKER-ISOLATION-STAGE-1",
        "-X DOCKER",
        "-X DOCKER-ISOLATION-STAGE-1",
    ]
    assert forward_policy(rules) == "DROP"
    assert forward_policy(["-P INPUT ACCEPT"]) is None


def test_the_innermost_mount_point_comes_first() -> None:
    info = "\n".join(
        f"{number} 1 0:1 / {point} rw - ext4 /dev/x rw"
        for number, point in enumerate(["/", "/e", "/e/data/a", "/e/data/a/b", "/else", "/e/with\\040blank"])
    )
    assert mount_points_below(Path("/e"), info) == [
        Path("/e/data/a/b"),
        Path("/e/data/a"),
        Path("/e/with blank"),
    ]


def test_a_snapshot_is_written_and_read(tmp_path: Path) -> None:
    snapshot = MachineSnapshot(networks=("lo",), forwarding={"/proc/x": "0"}, policies={"iptables": "ACCEPT"})
    assert read_snapshot(tmp_path / "snapshot") is None
    snapshot.write(tmp_path / "snapshot")
    assert read_snapshot(tmp_path / "snapshot") == MachineSnapshot(["lo"], {"/proc/x": "0"}, {"iptables": "ACCEPT"})  # type: ignore[arg-type]


def test_a_missing_program_is_installed_by_root_only(
    path_of: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_programs, "_SYSTEM_DIRECTORIES", ())
    with pytest.raises(ProviderError, match=r"tool is not installed: install it .*package box"):
        ensure_program("tool", "box")
    monkeypatch.setattr(host_programs.os, "geteuid", lambda: 0)
    script(
        path_of / "apt-get",
        """
        import sys
        from pathlib import Path
        here = Path(__file__).parent
        if sys.argv[1] == "update":
            (here / "lists").touch()
        elif not (here / "lists").exists():
            sys.exit("Unable to locate package box")
        else:
            (here / "tool").write_text("")
            (here / "tool").chmod(0o755)
        """,
    )
    ensure_program("tool", "box")
    assert is_installed("tool")
    with pytest.raises(ProviderError, match=r"`apt-get install .* box` failed"):
        ensure_program("other", "box")
