"""Files that Hopper keeps on this machine: the cache, cluster directories, cluster records and kubeconfigs."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from hopper.local.errors import InvalidNameError

DEFAULT_CLUSTER_NAME = "hopper"
KUBECONFIG_FILE = "kubeconfig"

_RECORD_FILE = "hopper.json"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME_LIMIT = 40


def cache_dir() -> Path:
    """Return the absolute path of Hopper's cache directory, which may not exist yet.

    The path is `HOPPER_CACHE`, else `$XDG_CACHE_HOME/hopper`, else `~/.cache/hopper`.
    """
    if custom := os.environ.get("HOPPER_CACHE"):
        return Path(custom).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(base).expanduser() / "hopper").absolute()


def clusters_dir(cache: Path) -> Path:
    """Return the parent of all cluster directories. kwokctl requires the name `clusters`."""
    return cache / "clusters"


def checked_cluster_name(name: str) -> str:
    """Return `name` if it is valid as a directory name and as part of a kubeconfig context.

    Raises InvalidNameError.
    """
    if _NAME.fullmatch(name) and len(name) <= _NAME_LIMIT:
        return name
    raise InvalidNameError(
        f"--name: invalid cluster name {name!r}: use at most {_NAME_LIMIT} lower-case letters, digits and '-', "
        "with a letter or digit at both ends, such as 'hopper' or 'test-1'"
    )


@dataclass(frozen=True)
class ClusterRecord:
    """State of a cluster that Hopper started, stored in the cluster's directory.

    Hopper writes the record before the first process starts, and again with `complete` when the cluster is ready.
    """

    provider: str
    version: str
    server: str = ""
    complete: bool = False
    # Port by kwokctl option, see kwokctl.PORTS.
    ports: Mapping[str, int] = field(default_factory=dict)
    binaries: Mapping[str, str] = field(default_factory=dict)
    # Arguments of `up`. A second `up` with other arguments reports that they have no effect.
    arguments: Mapping[str, object] = field(default_factory=dict)

    def completed(self) -> ClusterRecord:
        """Return the record of the same cluster once it is ready."""
        return replace(self, complete=True)

    def write(self, directory: Path) -> None:
        """Replace the record in the directory atomically."""
        part = directory / f".{_RECORD_FILE}.part"
        part.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        part.replace(directory / _RECORD_FILE)


def read_record(directory: Path) -> ClusterRecord | None:
    """Return the record in the directory, or None if the record is missing or unreadable."""
    try:
        return ClusterRecord(**json.loads((directory / _RECORD_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_admin_kubeconfig(path: Path, *, name: str, server: str, pki: Path) -> None:
    """Write a kubeconfig for the cluster administrator, readable by its owner only.

    The certificates in `pki` are embedded, so that the file can be copied or mounted on its own.
    """
    import yaml

    def embedded(file: str) -> str:
        return base64.b64encode((pki / file).read_bytes()).decode()

    context = f"hopper-{name}"
    user = {"client-certificate-data": embedded("admin.crt"), "client-key-data": embedded("admin.key")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": context, "cluster": {"server": server, "certificate-authority-data": embedded("ca.crt")}}
        ],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(document, file, sort_keys=False)
