"""The kubeconfig of a local cluster: one file with everything in it, so that it can be copied or mounted."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml


def write(path: Path, *, name: str, server: str, pki: Path) -> None:
    """Write an admin kubeconfig, readable by its owner only, from the certificates that kwokctl made."""

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
