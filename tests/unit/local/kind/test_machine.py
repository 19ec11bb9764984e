"""What is asked of the machine, and how it is left: the runtime, firewall rules, mounts, packages."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hopper.local.errors import ProviderError
from hopper.local.kind import packages, runtime, traces
from hopper.local.kind.runc_wrapper import described_in, modest_process, modest_spec

Script = Callable[[Path, str], Path]

GREEDY = {
    "args": ["sh"],
    "oomScoreAdj": -999,
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1, "soft": 1}],
    "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "effective": ["CAP_SYS_RESOURCE"]},
}
MODEST = {"args": ["sh"], "capabilities": {"bounding": ["CAP_CHOWN"], "effective": []}}


def test_a_process_gets_what_the_machine_can_give() -> None:
    assert modest_process(GREEDY) == MODEST
    assert modest_process({"oomScoreAdj": 1000}) == {"oomScoreAdj": 1000}
    assert modest_spec({"hostname": "h", "process": GREEDY}) == {"hostname": "h", "process": MODEST}
    assert modest_spec({"hostname": "h"}) == {"hostname": "h"}


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
def test_where_runc_reads_what_to_start(arguments: str, expected: tuple[str, bool] | None) -> None:
    found = described_in(arguments.split())
    assert (found and (str(found[0]), found[1])) == expected


def test_the_wrapper_becomes_runc(tmp_path: Path, script: Script) -> None:
    script(tmp_path / "real-runc", "import sys; print(sys.argv[1:])")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps({"process": GREEDY}))
    wrapper = runtime.write_wrapper(tmp_path, str(tmp_path / "real-runc"))
    command = [str(wrapper), "create", "--bundle", str(bundle), "id"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(command[1:])
    assert json.loads((bundle / "config.json").read_text()) == {"process": MODEST}


def test_only_a_bounding_set_without_the_capability_needs_it() -> None:
    status = "Name:\tx\nCapEff:\t0000000000000000\nCapBnd:\t{}\n"
    assert runtime.lacks_sys_resource(status.format("000001fffeffffff"))
    assert not runtime.lacks_sys_resource(status.format("000001ffffffffff"))


def test_dockers_firewall_rules_are_undone_and_no_others() -> None:
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
    undone = [" ".join(arguments) for arguments in traces.undoing(rules)]
    assert undone == [
        "-D FORWARD -j DOCKER-ISOLATION-STAGE-1",
        "-D FORWARD -o docker0 -j DOCKER",
        "-D FORWARD -i br-0123456789ab -o br-0123456789ab -j ACCEPT",
        "-F DOCKER",
        "-F DOCKER-ISOLATION-STAGE-1",
        "-X DOCKER",
        "-X DOCKER-ISOLATION-STAGE-1",
    ]
    assert traces.forward_policy(rules) == "DROP"
    assert traces.forward_policy(["-P INPUT ACCEPT"]) is None


def test_the_innermost_mount_goes_first() -> None:
    info = "\n".join(
        f"{number} 1 0:1 / {point} rw - ext4 /dev/x rw"
        for number, point in enumerate(["/", "/e", "/e/data/a", "/e/data/a/b", "/else", "/e/with\\040blank"])
    )
    assert traces.mounts_below(Path("/e"), info) == [
        Path("/e/data/a/b"),
        Path("/e/data/a"),
        Path("/e/with blank"),
    ]


def test_what_was_there_before_is_kept(tmp_path: Path) -> None:
    before = traces.Before(networks=("lo",), forwarding={"/proc/x": "0"}, policies={"iptables": "ACCEPT"})
    assert traces.read(tmp_path / "before") is None
    before.write(tmp_path / "before")
    assert traces.read(tmp_path / "before") == traces.Before(["lo"], {"/proc/x": "0"}, {"iptables": "ACCEPT"})  # type: ignore[arg-type]


def test_a_missing_program_is_installed_where_that_may_be(
    path_of: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "_SYSTEM", ())
    with pytest.raises(ProviderError, match=r"tool is not installed: install it .* package box"):
        packages.ensure("tool", "box")
    monkeypatch.setattr(packages.os, "geteuid", lambda: 0)
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
    packages.ensure("tool", "box")
    assert not packages.lacking("tool")
    with pytest.raises(ProviderError, match=r"`apt-get install .* box` failed"):
        packages.ensure("other", "box")
