"""Certificates and keys that a kubeconfig holds: in memory, where the system allows it.

TLS wants files. The client library makes them in the directory for temporary files, where they stay when the process is
killed: the private key of an administrator, say.
"""

import os
from functools import cache
from pathlib import Path

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import kube_config

_DESCRIPTORS = Path("/proc/self/fd")


def hold_in_memory(configuration: Configuration) -> None:
    """Replace the temporary files of a configuration that was just loaded by such as end with the process."""
    if not hasattr(os, "memfd_create") or not _DESCRIPTORS.is_dir():
        return  # they are removed when the process ends, unless it is killed
    made = set(kube_config._temp_files.values())
    for name in ("ssl_ca_cert", "cert_file", "key_file"):
        path = getattr(configuration, name)
        if path in made:
            setattr(configuration, name, _in_memory(Path(path).read_bytes()))
    kube_config._cleanup_temp_files()


@cache
def _in_memory(content: bytes) -> str:
    descriptor = os.memfd_create("hopper")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    return str(_DESCRIPTORS / str(descriptor))
