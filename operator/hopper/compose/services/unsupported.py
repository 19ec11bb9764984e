"""Keys of a service that a template has nothing for: what is lost, and what to do instead.

A value that is off or empty asks for nothing, and is not worth a warning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hopper.compose.reading.merge import as_names
from hopper.compose.reading.syntax import switch
from hopper.compose.reading.text import as_text, is_blank
from hopper.compose.section import Section


@dataclass(frozen=True, slots=True)
class Loss:
    """What is lost with a key, and what to do about it."""

    message: str
    advice: str


_NODE = "What belongs to a node is run outside of Hopper, by a DaemonSet"
_DNS = Loss("names are resolved by the cluster's DNS", "Use an ExternalName Service for a name of your own")
_SHARES = Loss("pods share nothing with their node or with one another", _NODE)
_TUNING = Loss("scheduling is tuned by requests and limits only", "Set deploy.resources")
_SWARM = Loss("it belongs to Docker Swarm", "Remove it")
_HOOK = Loss("there are no hooks around the start and stop of a container", "Put it into the image's start script")
_TERMINAL = Loss("pods have no terminal", "Use kubectl attach or kubectl debug when you need one")

KEYS: Mapping[str, Loss] = {
    "attach": Loss("there is no terminal whose output it could keep out", "Use kubectl logs"),
    "annotations": Loss("templates have no annotations", "Annotate the instances yourself if a tool needs it"),
    "blkio_config": _TUNING,
    "build": Loss("Hopper builds no images", "Build and push the image, and set image in the template"),
    "cap_drop": Loss(
        "capabilities follow from the security profile", "Set user to a number and securityProfile: Restricted"
    ),
    "cgroup": _SHARES,
    "cgroup_parent": _SHARES,
    "container_name": Loss("objects are named by convention", "Use the name of the instance"),
    "cpu_count": _TUNING,
    "cpu_percent": _TUNING,
    "cpu_rt_period": _TUNING,
    "cpu_rt_runtime": _TUNING,
    "cpu_shares": _TUNING,
    "cpuset": _TUNING,
    "credential_spec": _SHARES,
    "develop": Loss("nothing is watched or synchronised", "Use docker compose for development"),
    "device_cgroup_rules": Loss("devices belong to nodes", _NODE),
    "devices": Loss("devices belong to nodes", _NODE),
    "dns": _DNS,
    "dns_opt": _DNS,
    "dns_search": _DNS,
    "domainname": _DNS,
    "external_links": _DNS,
    "extra_hosts": _DNS,
    "gpus": Loss("devices such as GPUs cannot be asked for", "Run this outside of Hopper, with a device plugin"),
    "group_add": Loss("there are no further groups", "Give the group in user, as in 1000:998"),
    "hostname": Loss("pods are named by Kubernetes", "Use the name of the instance's Service"),
    "init": Loss("no init process is added", "Use an image with one, such as tini"),
    "ipc": _SHARES,
    "isolation": _SHARES,
    "logging": Loss("logs go to the node, as for every pod", "Use kubectl logs, or a log collector in the cluster"),
    "mac_address": Loss("addresses are given by the cluster", "Remove it"),
    "mem_swappiness": _TUNING,
    "memswap_limit": _TUNING,
    "models": Loss("models are not run", "Run the model as a service of its own"),
    "network_mode": Loss("each instance has a network of its own", "Reach other instances by their Services"),
    "networks": Loss("instances of a namespace share one network", "Use NetworkPolicies to keep them apart"),
    "oom_kill_disable": _TUNING,
    "oom_score_adj": _TUNING,
    "pid": _SHARES,
    "pids_limit": Loss("the number of processes is set for the whole node", "Remove it"),
    "platform": Loss("nodes are chosen by the scheduler", "Use an image for every platform of the cluster"),
    "post_start": _HOOK,
    "pre_start": _HOOK,
    "pre_stop": _HOOK,
    "privileged": Loss("Hopper runs nothing privileged", _NODE),
    "provider": Loss("it is run by something else than a container", "Set it up outside of Hopper"),
    "pull_policy": Loss("images are pulled as Kubernetes does", "Pin the image to a tag or digest"),
    "pull_refresh_after": Loss("images are pulled as Kubernetes does", "Pin the image to a tag or digest"),
    "read_only": Loss("the root of the container stays writable", "Mount volumes where the program writes"),
    "runtime": _SHARES,
    "security_opt": Loss(
        "it follows from the security profile", "Set user to a number for securityProfile: Restricted"
    ),
    "stdin_open": _TERMINAL,
    "stop_grace_period": Loss("pods are given 30 s to stop", "See that the program stops within that time"),
    "stop_signal": Loss("pods are stopped by SIGTERM", "Set STOPSIGNAL in the image"),
    "storage_opt": _SHARES,
    "sysctls": Loss("kernel parameters are set for nodes", "Set them on the nodes"),
    "tty": _TERMINAL,
    "ulimits": Loss("limits of processes are set for nodes", "Set them in the container runtime of the nodes"),
    "umask": Loss("the image's own umask stays", "Set it in the image's start script"),
    "use_api_socket": _SHARES,
    "userns_mode": _SHARES,
    "uts": _SHARES,
    "volume_driver": Loss("volumes are made by the cluster's storage class", "Use a claim of your own, as external"),
    "volumes_from": Loss("mounts of other services are not taken over", "List the volumes here, too"),
}
DEPLOY: Mapping[str, Loss] = {
    "endpoint_mode": _SWARM,
    "placement": Loss("nodes are chosen by the scheduler", "Use requests, or node affinity outside of Hopper"),
    "rollback_config": Loss("a change rolls out as Kubernetes does", "Remove it"),
    "update_config": Loss("a change rolls out as Kubernetes does", "Remove it"),
}
# What containers may do anyway, as long as they run as root under the profile Baseline.
_USUAL_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)


def report_unsupported(section: Section) -> None:
    """Report every key that a template has nothing for."""
    _capabilities(section)
    _report(section, KEYS)


def report_deploy(deploy: Section | None) -> None:
    """Report the rest of `deploy`."""
    if deploy is None:
        return
    mode = deploy.take("mode")
    if mode is not None and as_text(mode) != "replicated":
        advice = "Set replicas; one pod on each node is the work of a DaemonSet, outside of Hopper"
        deploy.about.dropped(deploy.key("mode"), f"{as_text(mode)} is not a way that instances run", advice)
    elif mode is not None:
        deploy.about.note(deploy.key("mode"), "this is how instances run")
    _report(deploy, DEPLOY)
    deploy.close()


def _capabilities(section: Section) -> None:
    raw = section.take("cap_add")
    wanted = [as_text(item).upper().removeprefix("CAP_") for item in raw or []] if isinstance(raw, list) else []
    usual = [name for name in wanted if name in _USUAL_CAPABILITIES]
    unusual = [name for name in wanted if name not in _USUAL_CAPABILITIES]
    if usual:
        section.about.note("cap_add", f"{', '.join(usual)}: every container has this, if it runs as root")
    if unusual:
        advice = f"Leave out the feature that needs it. {_NODE}"
        section.about.dropped("cap_add", f"Hopper adds no capabilities ({', '.join(unusual)})", advice)
    elif not usual and raw is not None:
        section.about.note("cap_add", "it asks for nothing")


def _report(section: Section, losses: Mapping[str, Loss]) -> None:
    for key, loss in losses.items():
        if key not in section:
            continue
        if _asks_for_nothing(value := section.take(key)):
            section.about.note(section.key(key), "it asks for nothing beyond the default")
        elif key == "network_mode" and as_text(value) in ("bridge", "default"):
            section.about.note(section.key(key), "this is what every instance has: a network of its own")
        elif key == "networks" and as_names(value) in ({"default": None}, {"default": {}}):
            section.about.note(section.key(key), "this is the network that all instances share")
        else:
            section.about.dropped(section.key(key), loss.message, loss.advice)


def _asks_for_nothing(value: Any) -> bool:
    if isinstance(value, dict | list):
        return not value
    return value is None or is_blank(value) or value is False or (isinstance(value, str) and switch(value) is False)
