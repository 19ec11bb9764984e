"""What a Docker engine leaves on a machine when it ends: bridge, firewall rules, IP forwarding, mounts, cgroups."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hopper.local.kind import packages

_NETWORKS = Path("/sys/class/net")
_MOUNTS = Path("/proc/self/mountinfo")
_CGROUPS = Path("/sys/fs/cgroup")
_FORWARDING = tuple(Path("/proc/sys/net") / name for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"))
_FIREWALLS = ("iptables", "ip6tables")
_TABLES = ("nat", "filter", "raw", "mangle")
_CHAIN = re.compile(r"DOCKER(-[A-Z0-9-]+)?")
_BRIDGE = re.compile(r"docker0|br-[0-9a-f]{12}")


@dataclass(frozen=True)
class Before:
    """How the machine was before the engine started. Only what was not there then is removed afterwards."""

    networks: tuple[str, ...] = ()
    forwarding: dict[str, str] = field(default_factory=dict)
    # Firewall program → the policy of its FORWARD chain.
    policies: dict[str, str] = field(default_factory=dict)
    # Somebody else's engine had its chains there already: they are not ours to remove.
    foreign_chains: bool = False
    cgroups: bool = False

    def write(self, file: Path) -> None:
        """Keep it."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")


def look() -> Before:
    """The machine as it is now."""
    rules = {firewall: _rules(firewall, "filter") for firewall in _FIREWALLS}
    return Before(
        networks=tuple(sorted(path.name for path in _NETWORKS.iterdir())),
        forwarding={str(path): path.read_text().strip() for path in _FORWARDING if path.exists()},
        policies={firewall: policy for firewall, found in rules.items() if (policy := forward_policy(found))},
        foreign_chains=any(_CHAIN.search(rule) for found in rules.values() for rule in found),
        cgroups=any(_docker_cgroups()),
    )


def read(file: Path) -> Before | None:
    """What was kept."""
    try:
        return Before(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def remove(before: Before, directory: Path) -> None:
    """Leave the machine as it was, once the engine of `directory` has ended."""
    unmount_below(directory)
    for path in _NETWORKS.iterdir():
        if path.name not in before.networks and _BRIDGE.fullmatch(path.name):
            _try("ip", "link", "delete", path.name)
    if not before.foreign_chains:
        for firewall in _FIREWALLS:
            for table in _TABLES:
                for arguments in undoing(_rules(firewall, table)):
                    _try(firewall, "--wait", "--table", table, *arguments)
    for firewall, policy in before.policies.items():
        _try(firewall, "--wait", "--policy", "FORWARD", policy)
    for name, value in before.forwarding.items():
        if Path(name).exists():
            Path(name).write_text(value)
    for group in () if before.cgroups else _docker_cgroups():
        remove_empty(group)


def undoing(rules: Iterable[str]) -> Iterator[list[str]]:
    """The arguments that take Docker's rules and chains out of a table which lists these (`iptables --list-rules`)."""
    rules = list(rules)
    chains = [rule.split()[1] for rule in rules if rule.startswith("-N ") and _CHAIN.fullmatch(rule.split()[1])]
    for rule in rules:
        words = rule.split()
        if words[0] == "-A" and words[1] not in chains and any(_is_dockers(word) for word in words[2:]):
            yield ["-D", *words[1:]]
    for chain in chains:
        yield ["-F", chain]
    for chain in chains:
        yield ["-X", chain]


def forward_policy(rules: Iterable[str]) -> str | None:
    """The policy of the FORWARD chain in such a list."""
    return next((rule.split()[2] for rule in rules if rule.startswith("-P FORWARD ")), None)


def unmount_below(directory: Path) -> None:
    """Take away every mount in the directory, the innermost first."""
    for mount in mounts_below(directory, _MOUNTS.read_text(encoding="utf-8")):
        _try("umount", "--lazy", str(mount))


def mounts_below(directory: Path, mountinfo: str) -> list[Path]:
    """The mount points in the directory, the innermost first."""
    points = [Path(_unescaped(line.split()[4])) for line in mountinfo.splitlines()]
    return sorted((point for point in points if directory in point.parents), key=lambda point: -len(point.parts))


def remove_empty(group: Path) -> None:
    """Remove a cgroup, and those in it first. One that still has processes stays."""
    for directory, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()


def _docker_cgroups() -> list[Path]:
    """Where Docker has its cgroups: in each hierarchy of version 1, and in the one of version 2."""
    return [*_CGROUPS.glob("docker"), *_CGROUPS.glob("*/docker")]


def _is_dockers(word: str) -> bool:
    return bool(_CHAIN.fullmatch(word) or _BRIDGE.fullmatch(word))


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def _rules(firewall: str, table: str) -> list[str]:
    return _output(firewall, "--wait", "--table", table, "--list-rules").splitlines()


def _try(*command: str) -> None:
    _output(*command)


def _output(*command: str) -> str:
    try:
        environment = os.environ | {"PATH": packages.search_path()}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
