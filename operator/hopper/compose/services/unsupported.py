"""Keys and host paths that a template cannot express: what is lost, and what to do instead.

A key whose value is off or empty loses nothing, so it is only noted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hopper.compose.reading.merge import parse_names
from hopper.compose.reading.short_syntax import parse_boolean
from hopper.compose.reading.tracked_text import as_text, is_blank
from hopper.compose.section import Section


@dataclass(frozen=True, slots=True)
class UnsupportedKey:
    """Report of a key that is not carried over."""

    message: str
    advice: str


_NODE = "Run node agents outside Hopper, as a DaemonSet"
_DNS = UnsupportedKey("the DNS of the cluster resolves all names", "Use an ExternalName Service for a custom name")
_SHARED = UnsupportedKey("pods are isolated from their node and from other pods", _NODE)
_TUNING = UnsupportedKey("only requests and limits of CPU and memory can be set", "Set deploy.resources")
_SWARM = UnsupportedKey("it is a feature of Docker Swarm", "Remove it")
_HOOK = UnsupportedKey("templates have no start and stop hooks", "Put it into the start script of the image")
_TERMINAL = UnsupportedKey("instances have no terminal", "Use kubectl attach or kubectl debug when you need one")

KEYS: Mapping[str, UnsupportedKey] = {
    "attach": UnsupportedKey("a stack has no terminal that shows its output", "Use kubectl logs"),
    "annotations": UnsupportedKey(
        "templates have no annotations", "Annotate the instances yourself if a tool needs it"
    ),
    "blkio_config": _TUNING,
    "build": UnsupportedKey("Hopper does not build images", "Build and push the image, and set image in the template"),
    "cap_drop": UnsupportedKey(
        "the security profile determines the capabilities", "Set user to a number, and securityProfile: Restricted"
    ),
    "cgroup": _SHARED,
    "cgroup_parent": _SHARED,
    "container_name": UnsupportedKey("Hopper names objects by convention", "Use the name of the instance"),
    "cpu_count": _TUNING,
    "cpu_percent": _TUNING,
    "cpu_rt_period": _TUNING,
    "cpu_rt_runtime": _TUNING,
    "cpu_shares": _TUNING,
    "cpuset": _TUNING,
    "credential_spec": _SHARED,
    "develop": UnsupportedKey("Hopper does not watch source files", "Use docker compose for development"),
    "device_cgroup_rules": UnsupportedKey("instances cannot use devices of their node", _NODE),
    "devices": UnsupportedKey("instances cannot use devices of their node", _NODE),
    "dns": _DNS,
    "dns_opt": _DNS,
    "dns_search": _DNS,
    "domainname": _DNS,
    "external_links": _DNS,
    "extra_hosts": _DNS,
    "gpus": UnsupportedKey(
        "Hopper cannot request devices such as GPUs", "Run the service outside Hopper, with a device plugin"
    ),
    "group_add": UnsupportedKey("additional groups cannot be set", "Set the group in user, as in 1000:998"),
    "hostname": UnsupportedKey("Kubernetes names the pods", "Use the name of the instance's Service"),
    "init": UnsupportedKey("Hopper adds no init process", "Use an image with one, such as tini"),
    "ipc": _SHARED,
    "isolation": _SHARED,
    "logging": UnsupportedKey("the node collects the logs of all pods", "Use kubectl logs, or a log collector"),
    "mac_address": UnsupportedKey("the cluster assigns the addresses", "Remove it"),
    "mem_swappiness": _TUNING,
    "memswap_limit": _TUNING,
    "models": UnsupportedKey("Hopper does not run models", "Run the model as a separate service"),
    "network_mode": UnsupportedKey("each pod has its own network namespace", "Reach other instances by their Services"),
    "networks": UnsupportedKey(
        "all instances of a namespace share the pod network", "Use NetworkPolicies to separate them"
    ),
    "oom_kill_disable": _TUNING,
    "oom_score_adj": _TUNING,
    "pid": _SHARED,
    "pids_limit": UnsupportedKey("the number of processes is limited by the node", "Remove it"),
    "platform": UnsupportedKey("the scheduler selects the node", "Use an image for all platforms of the cluster"),
    "post_start": _HOOK,
    "pre_start": _HOOK,
    "pre_stop": _HOOK,
    "privileged": UnsupportedKey("Hopper does not run privileged containers", _NODE),
    "provider": UnsupportedKey("a provider runs the service instead of a container", "Set it up outside Hopper"),
    "pull_policy": UnsupportedKey("Kubernetes decides when to pull an image", "Pin the image to a tag or digest"),
    "pull_refresh_after": UnsupportedKey(
        "Kubernetes decides when to pull an image", "Pin the image to a tag or digest"
    ),
    "read_only": UnsupportedKey(
        "the root file system of the container stays writable", "Mount volumes where the program writes"
    ),
    "runtime": _SHARED,
    "security_opt": UnsupportedKey(
        "the security profile determines the security options", "Set user to a number for securityProfile: Restricted"
    ),
    "stdin_open": _TERMINAL,
    "stop_grace_period": UnsupportedKey("pods have 30 s to stop", "Make sure that the program stops within that time"),
    "stop_signal": UnsupportedKey("Kubernetes stops pods with SIGTERM", "Set STOPSIGNAL in the image"),
    "storage_opt": _SHARED,
    "sysctls": UnsupportedKey("kernel parameters are settings of the node", "Set them on the nodes"),
    "tty": _TERMINAL,
    "ulimits": UnsupportedKey(
        "process limits are settings of the node", "Set them in the container runtime of the nodes"
    ),
    "umask": UnsupportedKey("the umask of the image is kept", "Set it in the start script of the image"),
    "use_api_socket": _SHARED,
    "userns_mode": _SHARED,
    "uts": _SHARED,
    "volume_driver": UnsupportedKey(
        "the storage class of the cluster provides the volumes", "Use a PersistentVolumeClaim of your own, as external"
    ),
    "volumes_from": UnsupportedKey("mounts of other services are not copied", "List the volumes here as well"),
}
DEPLOY_KEYS: Mapping[str, UnsupportedKey] = {
    "endpoint_mode": _SWARM,
    "placement": UnsupportedKey("the scheduler selects the node", "Use requests, or node affinity outside Hopper"),
    "rollback_config": UnsupportedKey("Kubernetes rolls out changes in its own way", "Remove it"),
    "update_config": UnsupportedKey("Kubernetes rolls out changes in its own way", "Remove it"),
}
# Capabilities that containers have by default if they run as root under the profile Baseline.
_DEFAULT_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_USE_VOLUME = "Use a named volume for data, a file beside the compose file for configuration, the image for code"
_HOST_PATH_ADVICE = (
    (
        ("/var/run/docker.sock", "/run/docker.sock", "/var/run/podman", "/run/podman", "/run/user", "/run/containerd"),
        "A cluster has no Docker daemon: use the Kubernetes API, or disable the feature",
    ),
    (("/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo"), "Set the variable TZ, as in TZ=Europe/Berlin"),
    (("/dev",), "Run services that need devices of the node outside Hopper, with a device plugin"),
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
        _NODE,
    ),
    (("/tmp/.X11-unix",), "A cluster has no display: run the service on your own machine"),  # noqa: S108
    (("/etc/passwd", "/etc/group", "/etc/shadow"), "Set user to a number instead of mounting the accounts of the host"),
    (("/etc/hosts", "/etc/resolv.conf"), "The DNS of the cluster resolves all names: remove the mount"),
    (
        ("/etc/ssl", "/etc/ca-certificates", "/etc/pki", "/usr/local/share/ca-certificates"),
        "Put the certificates beside the compose file, or into the image",
    ),
)


def advise_on_host_path(source: str) -> str | None:
    """Return what to do instead of mounting a path of the host, or None for a path beside the compose file."""
    if re.match(r"[A-Za-z]:[\\/]|\\\\", source) or source.startswith("~"):
        return _USE_VOLUME
    if not source.startswith("/"):
        return None
    path = PurePosixPath(source)
    if path == PurePosixPath("/"):
        return _NODE
    for places, advice in _HOST_PATH_ADVICE:
        if any(path.is_relative_to(place) for place in places):
            return advice
    return _USE_VOLUME


def report_unsupported(section: Section) -> None:
    """Report every key of a service that a template cannot express."""
    _report_capabilities(section)
    _report_keys(section, KEYS)


def report_unsupported_deploy(deploy: Section | None) -> None:
    """Report every key of `deploy` that was not read before."""
    if deploy is None:
        return
    mode = deploy.take("mode")
    if mode is not None and as_text(mode) != "replicated":
        advice = "Set replicas; to run one pod on each node, use a DaemonSet outside Hopper"
        deploy.reporter.dropped(deploy.key("mode"), f"instances have no mode {as_text(mode)}", advice)
    elif mode is not None:
        deploy.reporter.note(deploy.key("mode"), "all instances run in this mode")
    _report_keys(deploy, DEPLOY_KEYS)
    deploy.close()


def _report_capabilities(section: Section) -> None:
    raw = section.take("cap_add")
    capabilities = [as_text(item).upper().removeprefix("CAP_") for item in raw or []] if isinstance(raw, list) else []
    default = [name for name in capabilities if name in _DEFAULT_CAPABILITIES]
    additional = [name for name in capabilities if name not in _DEFAULT_CAPABILITIES]
    if default:
        section.reporter.note("cap_add", f"containers that run as root have this anyway: {', '.join(default)}")
    if additional:
        advice = f"Disable the feature that needs it. {_NODE}"
        section.reporter.dropped("cap_add", f"Hopper adds no capabilities ({', '.join(additional)})", advice)
    elif not default and raw is not None:
        section.reporter.note("cap_add", "the list is empty")


def _report_keys(section: Section, keys: Mapping[str, UnsupportedKey]) -> None:
    for key, report in keys.items():
        if key not in section:
            continue
        if _is_default(value := section.take(key)):
            section.reporter.note(section.key(key), "the value is the default")
        elif key == "network_mode" and as_text(value) in ("bridge", "default"):
            section.reporter.note(section.key(key), "the value is the default: each pod has its own network namespace")
        elif key == "networks" and parse_names(value) in ({"default": None}, {"default": {}}):
            section.reporter.note(section.key(key), "the value is the default: all instances share the pod network")
        else:
            section.reporter.dropped(section.key(key), report.message, report.advice)


def _is_default(value: Any) -> bool:
    """Whether a value is off or empty."""
    if isinstance(value, dict | list):
        return not value
    if isinstance(value, str):
        return is_blank(value) or parse_boolean(value) is False
    return value is None or value is False
