"""Paths of the machine that compose files mount, and what to do instead in a cluster."""

import re
from pathlib import PurePosixPath

_ADVICE = (
    (
        ("/var/run/docker.sock", "/run/docker.sock", "/var/run/podman", "/run/podman", "/run/user", "/run/containerd"),
        "A cluster has no Docker to talk to: use the Kubernetes API, or leave the feature off",
    ),
    (("/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo"), "Set the variable TZ, as in TZ=Europe/Berlin"),
    (("/dev",), "Devices belong to nodes: run this outside of Hopper, with a device plugin"),
    (
        (
            "/proc",
            "/sys",
            "/run",
            "/var/run",
            "/var/lib/docker",
            "/var/log",
            "/lib/modules",
            "/etc/machine-id",
            "/boot",
        ),
        "What looks at nodes is run by a DaemonSet, outside of Hopper",
    ),
    (("/tmp/.X11-unix",), "There is no display in a cluster: run this on your own machine"),  # noqa: S108
    (("/etc/passwd", "/etc/group", "/etc/shadow"), "Set user to a number instead of borrowing the machine's accounts"),
    (("/etc/hosts", "/etc/resolv.conf"), "Names are resolved by the cluster's DNS: remove the mount"),
    (
        ("/etc/ssl", "/etc/ca-certificates", "/etc/pki", "/usr/local/share/ca-certificates"),
        "Put the certificates beside the compose file, or into the image",
    ),
)
_DATA = "Use a named volume for data, a file beside the compose file for configuration, the image for code"


def bind_advice(source: str) -> str | None:
    """Return what to do instead of mounting a path of the machine; None for a path beside the compose file."""
    if re.match(r"[A-Za-z]:[\\/]|\\\\", source):
        return _DATA
    if source.startswith("~"):
        return _DATA
    if not source.startswith("/"):
        return None
    path = PurePosixPath(source)
    if path == PurePosixPath("/"):
        return "What looks at nodes is run by a DaemonSet, outside of Hopper"
    for places, advice in _ADVICE:
        if any(path.is_relative_to(place) for place in places):
            return advice
    return _DATA
