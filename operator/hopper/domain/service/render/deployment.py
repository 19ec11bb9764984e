"""The Deployment: one container, run as the effective service says."""

from typing import Any

from hopper.api.enums import InstanceType
from hopper.api.instance import HopperInstance
from hopper.api.names import ANNOTATION_CHECKSUM, ANNOTATION_RESTARTS, ANNOTATION_REVISION
from hopper.api.resources import Manifest
from hopper.api.service import EnvEntry, KeyRef
from hopper.api.template import ResourceAmounts, Resources
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.contents import checksum
from hopper.domain.service.quantity import canonical
from hopper.domain.service.render.meta import manifest
from hopper.domain.service.render.mode import Mode
from hopper.domain.service.render.network import port_name
from hopper.domain.service.render.probes import probes, start_seconds
from hopper.domain.service.render.security import container_security, pod_security
from hopper.domain.service.render.volumes import mounts, volumes
from hopper.domain.service.revision import revision
from hopper.domain.service.variables import in_order

CONTAINER = "service"
_DEADLINE_SECONDS = 600
_OLD_REVISIONS_KEPT = 2


def deployment(blueprint: Blueprint, mode: Mode) -> Manifest:
    """Return the Deployment. Its pod template is the same in every mode: only the number of pods changes."""
    labels = {label.name: label.value for label in blueprint.spec.labels}
    pod_metadata: Manifest = {"labels": labels | blueprint.names.pod_labels}
    notes = {ANNOTATION_CHECKSUM: checksum(blueprint), ANNOTATION_RESTARTS: restarts_of(blueprint.instance)}
    if annotations := {name: value for name, value in notes.items() if value is not None}:
        pod_metadata["annotations"] = annotations
    spec = {
        "replicas": 0 if mode is Mode.STOPPED else blueprint.replicas,
        "selector": {"matchLabels": dict(blueprint.names.selector)},
        "strategy": _strategy(blueprint),
        "revisionHistoryLimit": _OLD_REVISIONS_KEPT,
        "progressDeadlineSeconds": _DEADLINE_SECONDS + start_seconds(blueprint.spec.healthcheck),
        "template": {"metadata": pod_metadata, "spec": _pod(blueprint)},
    }
    made = manifest(blueprint, "apps/v1", "Deployment", blueprint.names.base, spec=spec)
    made["metadata"]["labels"] = labels | made["metadata"]["labels"]
    made["metadata"]["annotations"] = {ANNOTATION_REVISION: revision(blueprint)}
    return made


def restarts_of(instance: HopperInstance) -> str | None:
    """Return what the pods say of restarts; nothing before the first."""
    return str(instance.status.restarts) if instance.status.restarts else None


def _strategy(blueprint: Blueprint) -> dict[str, Any]:
    """Return how new pods follow old ones.

    All at once (Recreate) where two must never run together: a Singleton, and pods with a ReadWriteOnce claim, of which
    the new one could not start on another node before the old one lets go. The numbers of RollingUpdate are the API
    server's defaults: written out, they are ours to take away again, without which a change to Recreate is refused.
    """
    if blueprint.type is InstanceType.SINGLETON or blueprint.claims:
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}


def _pod(blueprint: Blueprint) -> dict[str, Any]:
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(blueprint),
        "containers": [_container(blueprint)],
        "volumes": volumes(blueprint),
    }
    return {key: value for key, value in pod.items() if value not in ([], None)}


def _container(blueprint: Blueprint) -> dict[str, Any]:
    spec = blueprint.spec
    container = {
        "name": CONTAINER,
        "image": spec.image,
        "command": list(spec.command or ()),
        "args": list(spec.args or ()),
        "workingDir": spec.working_dir,
        "ports": [
            {
                "name": port_name(port.container_port, port.protocol),
                "containerPort": port.container_port,
                "protocol": port.protocol.value,
            }
            for port in spec.ports
        ],
        "env": [_variable(blueprint, entry) for entry in in_order(spec.env)],
        "resources": _resources(spec.resources),
        "securityContext": container_security(blueprint),
        "volumeMounts": mounts(blueprint),
        **probes(spec.healthcheck),
    }
    return {key: value for key, value in container.items() if value not in ([], {}, None)}


def _variable(blueprint: Blueprint, entry: EnvEntry) -> dict[str, Any]:
    if entry.value_from is not None:
        secret, config = entry.value_from.secret_key_ref, entry.value_from.config_map_key_ref
        ref = {"secretKeyRef": _key(secret)} if secret else {"configMapKeyRef": _key(config)} if config else {}
        return {"name": entry.name, "valueFrom": ref}
    if entry.secret:
        own = {"name": blueprint.names.base, "key": entry.name}
        return {"name": entry.name, "valueFrom": {"secretKeyRef": own}}
    # The API server leaves out what is empty; so an empty value looks the same here and there.
    return {"name": entry.name, "value": entry.value} if entry.value else {"name": entry.name}


def _key(ref: KeyRef) -> dict[str, str]:
    return {"name": ref.name, "key": ref.key}


def _resources(resources: Resources | None) -> dict[str, Any]:
    if resources is None:
        return {}
    found = {"requests": _amounts(resources.requests), "limits": _amounts(resources.limits)}
    return {key: amounts for key, amounts in found.items() if amounts}


def _amounts(amounts: ResourceAmounts | None) -> dict[str, str]:
    given = {"cpu": amounts.cpu, "memory": amounts.memory} if amounts else {}
    return {name: canonical(quantity) for name, quantity in given.items() if quantity is not None}
