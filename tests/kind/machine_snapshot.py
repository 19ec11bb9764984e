"""Snapshot of the machine settings that a Docker engine changes, and their restoration.

The settings are network bridges, firewall rules, IP forwarding, mounts and cgroups.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.kind.host_programs import search_path

_NETWORKS = Path("/sys/class/net")
_MOUNTS = Path("/proc/self/mountinfo")
_CGROUPS = Path("/sys/fs/cgroup")
_FORWARDING = tuple(Path("/proc/sys/net") / name for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"))
_FIREWALLS = ("iptables", "ip6tables")
_TABLES = ("nat", "filter", "raw", "mangle")
_DOCKER_CHAIN = re.compile(r"DOCKER(-[A-Z0-9-]+)?")
_DOCKER_BRIDGE = re.compile(r"docker0|br-[0-9a-f]{12}")


@dataclass(frozen=True)
class MachineSnapshot:
    """Settings of the machine before the engine started. The restoration removes nothing that existed then."""

    networks: tuple[str, ...] = ()
    forwarding: dict[str, str] = field(default_factory=dict)
    # Policy of the FORWARD chain by firewall program.
    policies: dict[str, str] = field(default_factory=dict)
    # Chains of another Docker engine existed, and must stay.
    foreign_chains: bool = False
    cgroups: bool = False

    def write(self, file: Path) -> None:
        """Write the snapshot to a file."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")


def take_snapshot() -> MachineSnapshot:
    """Return a snapshot of the machine as it is now."""
    rules = {firewall: _list_rules(firewall, "filter") for firewall in _FIREWALLS}
    return MachineSnapshot(
        networks=tuple(sorted(path.name for path in _NETWORKS.iterdir())),
        forwarding={str(path): path.read_text().strip() for path in _FORWARDING if path.exists()},
        policies={firewall: policy for firewall, listed in rules.items() if (policy := forward_policy(listed))},
        foreign_chains=any(_DOCKER_CHAIN.search(rule) for listed in rules.values() for rule in listed),
        cgroups=any(_docker_cgroups()),
    )


def read_snapshot(file: Path) -> MachineSnapshot | None:
    """Return the snapshot in a file, or None if the file is missing or unreadable."""
    try:
        return MachineSnapshot(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def restore_machine(snapshot: MachineSnapshot, directory: Path) -> None:
    """Restore the settings of the snapshot after the engine of `directory` has ended."""
    unmount_below(directory)
    for path in _NETWORKS.iterdir():
        if path.name not in snapshot.networks and _DOCKER_BRIDGE.fullmatch(path.name):
            _run("ip", "link", "delete", path.name)
    if not snapshot.foreign_chains:
        for firewall in _FIREWALLS:
            for table in _TABLES:
                for arguments in docker_rule_removals(_list_rules(firewall, table)):
                    _run(firewall, "--wait", "--table", table, *arguments)
    for firewall, policy in snapshot.policies.items():
        _run(firewall, "--wait", "--policy", "FORWARD", policy)
    for name, value in snapshot.forwarding.items():
        if Path(name).exists():
            Path(name).write_text(value)
    for cgroup in () if snapshot.cgroups else _docker_cgroups():
        remove_empty_cgroup(cgroup)


def docker_rule_removals(rules: Iterable[str]) -> Iterator[list[str]]:
    """Yield the iptables arguments that remove Docker's rules and chains from a table.

    `rules` is the output of `iptables --list-rules` for the table.
    """
    rules = list(rules)
    chains = [rule.split()[1] for rule in rules if rule.startswith("-N ") and _DOCKER_CHAIN.fullmatch(rule.split()[1])]
    for rule in rules:
        words = rule.split()
        if words[0] == "-A" and words[1] not in chains and any(_is_docker_name(word) for word in words[2:]):
            yield ["-D", *words[1:]]
    for chain in chains:
        yield ["-F", chain]
    for chain in chains:
        yield ["-X", chain]


def forward_policy(rules: Iterable[str]) -> str | None:
    """Return the policy of the FORWARD chain in the output of `iptables --list-rules`."""
    return next((rule.split()[2] for rule in rules if rule.startswith("-P FORWARD ")), None)


def unmount_below(directory: Path) -> None:
    """Unmount every mount point in the directory, innermost first."""
    for mount_point in mount_points_below(directory, _MOUNTS.read_text(encoding="utf-8")):
        _run("umount", "--lazy", str(mount_point))


def mount_points_below(directory: Path, mountinfo: str) -> list[Path]:
    """Return the mount points in the directory, innermost first."""
    mount_points = [Path(_unescape(line.split()[4])) for line in mountinfo.splitlines()]
    return sorted((point for point in mount_points if directory in point.parents), key=lambda path: -len(path.parts))


def remove_empty_cgroup(cgroup: Path) -> None:
    """Remove a cgroup and its descendants, except those that still have processes."""
    for directory, _, _ in os.walk(cgroup, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()


def _docker_cgroups() -> list[Path]:
    """Return Docker's cgroups of version 1 (one per hierarchy) and of version 2."""
    return [*_CGROUPS.glob("docker"), *_CGROUPS.glob("*/docker")]


def _is_docker_name(word: str) -> bool:
    return bool(_DOCKER_CHAIN.fullmatch(word) or _DOCKER_BRIDGE.fullmatch(word))


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _list_rules(firewall: str, table: str) -> list[str]:
    return _run(firewall, "--wait", "--table", table, "--list-rules").splitlines()


def _run(*command: str) -> str:
    """Return the output of a program. Failures and missing programs are ignored."""
    try:
        environment = os.environ | {"PATH": search_path()}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
